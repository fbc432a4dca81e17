package h1http

// head.go: the head of a response, as net/http gives it to its callers.
//
// Rule: the engine's head is copied, so that the caller may keep the copy. What net/http
// takes out of Header, or adds to it, is taken out and added here.

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"example.com/h1"
)

// convert makes net/http's head of the engine's.
func convert(out *http.Response, in *h1.Response, hreq *http.Request) {
	out.Status = responseStatus(in.Status, in.Reason())
	out.StatusCode = in.Status
	out.Proto, out.ProtoMajor, out.ProtoMinor = "HTTP/1.1", 1, in.Minor
	if in.Minor != 1 {
		out.Proto = "HTTP/1." + strconv.Itoa(in.Minor)
	}
	out.Header = fields(&in.Header)
	out.ContentLength, out.Request = in.ContentLength, hreq
	out.Close = (in.Close || in.Status == 101) && saysClose(out)
	fixFraming(out)
	switch {
	case hreq.Method == "CONNECT" && in.Status/100 == 2:
		out.ContentLength, out.Close = -1, true
	case in.Status == 101:
		out.ContentLength = 0
	}
}

// isSwitch reports whether what follows a response with that status is HTTP's no more, and
// so has no coding either (RFC 9110, 9.3.6).
func isSwitch(status int, hreq *http.Request) bool {
	return status == 101 || hreq.Method == "CONNECT" && status/100 == 2
}

// saysClose reports whether a head says that the connection ends behind its message. The
// engine's Close does not tell: it is also true if the request said so.
func saysClose(out *http.Response) bool {
	h := out.Header
	te := h["Transfer-Encoding"]
	switch {
	case out.ProtoMinor == 0 && !hasToken(h["Connection"], "keep-alive"), hasToken(h["Connection"], "close"):
		return true
	case len(te) == 0: // the body's end is the connection's
		return out.ContentLength < 0 && out.Request.Method != "HEAD" && out.StatusCode != 304
	}
	return out.ProtoMinor == 0 || len(h["Content-Length"]) > 0 || !foldEqual(trim(te[len(te)-1]), "chunked")
}

// fields copies a field section. All values share one string, to allocate once.
func fields(h *h1.Header) http.Header {
	n, size := h.Len(), 0
	for i := range n {
		_, v := h.At(i)
		size += len(v)
	}
	var b strings.Builder
	b.Grow(size)
	for i := range n {
		_, v := h.At(i)
		b.Write(v)
	}
	all := b.String()
	values := make([]string, n)
	out := make(http.Header, n)
	for i := range n {
		k, v := h.At(i)
		name := canonical(k)
		values[i], all = all[:len(v)], all[len(v):]
		if before, repeated := out[name]; repeated {
			out[name] = append(before, values[i])
		} else {
			out[name] = values[i : i+1 : i+1]
		}
	}
	return out
}

// fixFraming brings a head into net/http's form: what frames the message is moved from
// Header to fields of Response.
func fixFraming(out *http.Response) {
	h := out.Header
	head, empty := out.Request.Method == "HEAD", out.StatusCode == 204 || out.StatusCode == 304
	chunked := false
	if te := h["Transfer-Encoding"]; len(te) > 0 {
		delete(h, "Transfer-Encoding")
		chunked = out.ProtoMinor > 0 && foldEqual(trim(te[len(te)-1]), "chunked")
		if chunked {
			out.TransferEncoding = []string{"chunked"}
			if !head && !empty {
				out.ContentLength = -1
				delete(h, "Content-Length")
			}
		} else if out.ProtoMinor > 0 && !head && !empty && !isSwitch(out.StatusCode, out.Request) {
			out.TransferEncoding = codings(te)
		}
	}
	if cl := h["Content-Length"]; len(cl) > 1 && len(slices.Compact(slices.Clone(cl))) == 1 {
		h["Content-Length"] = cl[:1]
	}
	switch {
	case head && (empty || chunked): // where the engine does not read Content-Length
		out.ContentLength = declared(h)
	case empty && !head:
		out.ContentLength = 0
	}
	if out.ProtoMinor > 0 && hasToken(h["Connection"], "close") {
		delete(h, "Connection") // Close says it
	}
	if chunked {
		out.Trailer = announced(h)
	}
	if p := h["Pragma"]; len(p) > 0 && p[0] == "no-cache" {
		if _, ok := h["Cache-Control"]; !ok {
			h["Cache-Control"] = []string{"no-cache"}
		}
	}
}

// codings returns the transfer codings of a body, of which chunked is not the last, the
// outermost first; nil: there are none.
func codings(te []string) []string {
	all := strings.Split(strings.ToLower(strings.Join(te, ",")), ",")
	slices.Reverse(all)
	for i, coding := range all {
		all[i] = trim(coding)
	}
	if len(all) == 1 && all[0] == "identity" {
		return nil
	}
	return all
}

// declared returns the length that Content-Length says; -1 if it says none, or there are
// several.
func declared(h http.Header) int64 {
	cl := h["Content-Length"]
	if len(cl) != 1 {
		return -1
	}
	n, err := strconv.ParseUint(cl[0], 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

// announced takes the Trailer field out of h and returns the keys it promises.
func announced(h http.Header) http.Header {
	values, ok := h["Trailer"]
	if !ok {
		return nil
	}
	delete(h, "Trailer")
	t := make(http.Header)
	for _, v := range values {
		for key := range strings.SplitSeq(v, ",") {
			switch key = http.CanonicalHeaderKey(trim(key)); key {
			case "", "Transfer-Encoding", "Trailer", "Content-Length":
			default:
				t[key] = nil
			}
		}
	}
	if len(t) == 0 {
		return nil
	}
	return t
}
