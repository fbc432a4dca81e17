package h1

// chunked.go: the lines around the data of a chunked body (RFC 9112, section 7.1).
//
// Rule: framing bytes are parsed one by one, in order, and each is consumed once it was
// looked at, so there is nothing to look at again. Data bytes are only counted. Nothing is
// skipped without being compared, and nothing but CR LF ends a line.
// Not here: the trailer section (decode.go), the data, and any meaning of extensions.

import "strconv"

// maxSizeDigits limits the digits of a chunk's size, leading zeros included: 2^63-1 takes
// 16, and servers that pad are known to pad to 8. net/http allows 16 as well.
const maxSizeDigits = 16

// maxPadding limits the bytes of size lines that carry nothing, that is blanks and
// extensions, over a whole body. Each byte of data received makes up for one of them.
// Without a limit a sender makes its recipient work on lines of any length for a byte of
// data each (CVE-2023-39326); with this one padding is at most half of what arrives, but
// for the first 16 KiB. That is 250 chunks of one byte with a signature of 64 bytes each
// before it matters, and no limit for chunks larger than their extensions. net/http allows
// 16 KiB too, but counts all framing bytes and forgives 16 of them a chunk and two a byte
// of data.
const maxPadding = 16 << 10

// A chunkDecoder parses the framing of one chunked body.
//
//	chunked-body = *chunk last-chunk trailer-section CRLF                RFC 9112, 7.1
//	chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//	chunk-size   = 1*HEXDIG
//	last-chunk   = 1*("0") [ chunk-ext ] CRLF
//	chunk-ext    = *( BWS ";" BWS chunk-ext-name
//	                  [ BWS "=" BWS chunk-ext-val ] )                    RFC 9112, 7.1.1
type chunkDecoder struct {
	remain int64 // data bytes left in the current chunk
	last   bool  // the last chunk's line was consumed: the trailer section follows
	off    int64 // bytes of the message so far

	state   chunkState
	digits  uint8 // of the size, so far
	size    int64 // of the chunk whose line is being parsed
	padding int64 // see maxPadding
}

// chunkState says which byte comes next.
type chunkState uint8

const (
	chunkSize    chunkState = iota // a digit, or where there was one, what may follow it
	chunkBlank                     // white space behind the size, ";" or CR
	chunkExt                       // an extension's, or CR
	chunkQuoted                    // a quoted-string's
	chunkEscaped                   // the one behind a backslash in it
	chunkLineLF                    // the LF of the size line
	chunkDataCR                    // the CR behind the data
	chunkDataLF                    // the LF behind the data
)

// reset prepares for a body that begins off bytes into its message.
func (d *chunkDecoder) reset(off int64) { *d = chunkDecoder{off: off} }

// took counts n bytes of data, n <= remain.
func (d *chunkDecoder) took(n int) {
	d.remain -= int64(n)
	d.off += int64(n)
	d.padding = max(0, d.padding-int64(n))
}

// next consumes framing bytes at the front of b until data follows (remain > 0), or last
// is set, or b ends. It returns how many; 0 and no error: more bytes are needed.
func (d *chunkDecoder) next(b []byte) (n int, err *Error) {
	if d.remain > 0 || d.last {
		return 0, nil
	}
	if n = d.between(b); n > 0 {
		return n, nil
	}
	for n < len(b) {
		c := b[n]
		why := ""
		switch d.state {
		case chunkSize:
			why = d.sizeByte(c)
		case chunkBlank:
			why = d.behindSize(c)
		case chunkExt, chunkQuoted, chunkEscaped:
			why = d.extByte(c)
		case chunkDataCR:
			if d.state = chunkDataLF; c != '\r' {
				why = "no CR LF behind a chunk's data"
			}
		case chunkDataLF:
			if d.state = chunkSize; c != '\n' {
				why = "no CR LF behind a chunk's data"
			}
		case chunkLineLF:
			if c != '\n' {
				why = "CR without LF in a chunk's size line"
				break
			}
			d.off++
			d.endLine()
			return n + 1, nil
		}
		if why != "" {
			return 0, badPeer(BadChunk, d.off, why, b[n:n+1])
		}
		if d.padding > maxPadding {
			return 0, badPeer(TooLarge, d.off, "chunk extensions outweigh the data", nil)
		}
		n++
		d.off++
	}
	return n, nil
}

// between consumes at once what stands between the data of two chunks, where all of that is
// at hand and is CR LF, up to 8 digits and CR LF, as it nearly always is; else it returns
// 0, and next goes byte by byte.
func (d *chunkDecoder) between(b []byte) int {
	const most = len("\r\n12345678\r\n")
	if d.state != chunkDataCR || len(b) < most || b[0] != '\r' || b[1] != '\n' {
		return 0
	}
	size, n := int64(0), 2
	for ; n < most-2 && octets[b[n]]&hexDigit != 0; n++ {
		size = size<<4 | digit(b[n])
	}
	if size == 0 || b[n] != '\r' || b[n+1] != '\n' {
		return 0
	}
	n += 2
	d.off += int64(n)
	d.size = size
	d.endLine()
	return n
}

// digit is the value of a hexadecimal digit.
func digit(c byte) int64 {
	if c > '9' {
		c += 9 // the low four bits of "A" and of "a" are 1
	}
	return int64(c & 0xf)
}

// endLine acts on a size line's end.
func (d *chunkDecoder) endLine() {
	d.remain, d.last = d.size, d.size == 0
	d.state, d.size, d.digits = chunkDataCR, 0, 0
}

// sizeByte takes a byte of chunk-size, or the one behind it. It returns what is wrong.
func (d *chunkDecoder) sizeByte(c byte) string {
	if octets[c]&hexDigit == 0 {
		if d.digits == 0 {
			return "no digit of a chunk's size"
		}
		return d.behindSize(c)
	}
	if d.digits++; d.digits > maxSizeDigits || d.size >= 1<<(63-4) {
		return "a chunk's size past 2^63-1, or of too many digits"
	}
	d.size = d.size<<4 | digit(c)
	return ""
}

// behindSize takes a byte behind chunk-size that is white space or ends it. Some servers
// pad a size with spaces up to the line's end, which says nothing else than the size alone.
func (d *chunkDecoder) behindSize(c byte) string {
	switch c {
	case '\r':
		d.state = chunkLineLF
		return ""
	case ' ', '\t':
		d.state = chunkBlank
	case ';':
		d.state = chunkExt
	default:
		return "byte that may not follow a chunk's size"
	}
	d.padding++
	return ""
}

// extByte takes a byte of an extension. What it means is nobody's business here, but where
// it ends is: only outside quotes does CR end the line, and inside them no CR may stand.
//
//	quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE              RFC 9110, 5.6.4
func (d *chunkDecoder) extByte(c byte) string {
	switch {
	case c == '\r' && d.state == chunkExt:
		d.state = chunkLineLF
		return ""
	case octets[c]&fieldChar == 0:
		if c == '\r' {
			return "quotes not closed in a chunk's extension"
		}
		return "control byte in a chunk's extension"
	case d.state == chunkEscaped:
		d.state = chunkQuoted
	case c == '"' && d.state == chunkExt:
		d.state = chunkQuoted
	case c == '"':
		d.state = chunkExt
	case c == '\\' && d.state == chunkQuoted:
		d.state = chunkEscaped
	}
	d.padding++
	return ""
}

// appendChunkSize appends the line that announces a chunk of n bytes.
func appendChunkSize(dst []byte, n int64) []byte {
	return append(strconv.AppendInt(dst, n, 16), "\r\n"...)
}
