package h1http

// idna.go: host names beyond ASCII, as xn-- labels.
//
// Rule: only what is certain is done: a name is put in lower case and encoded (RFC 3492).
// The mapping and the checks of UTS 46, whose tables the standard library keeps to itself,
// are left out: a name that needs them should come encoded already.

import (
	"errors"
	"strings"
	"unicode/utf8"
)

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// asciiHostPort encodes the host of host[:port].
func asciiHostPort(s string) (string, error) {
	if isASCII(s) {
		return s, nil
	}
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i:]
	}
	host, err := asciiHost(host)
	return host + port, err
}

// asciiHost encodes the labels of a host that need it.
func asciiHost(host string) (string, error) {
	if isASCII(host) {
		return host, nil
	}
	if !utf8.ValidString(host) {
		return "", errors.New("h1http: the host's name is not valid UTF-8")
	}
	labels := strings.Split(strings.ToLower(host), ".")
	for i, label := range labels {
		if !isASCII(label) {
			labels[i] = "xn--" + punycode([]rune(label))
			if len(labels[i]) > 63 {
				return "", errors.New("h1http: a label of the host's name is too long")
			}
		}
	}
	return strings.Join(labels, "."), nil
}

// The parameters of RFC 3492, section 5, for host names.
const punyBase, punyTMin, punyTMax, punySkew, punyDamp = 36, 1, 26, 38, 700

// punycode encodes a label: RFC 3492, section 6.3.
func punycode(label []rune) string {
	var out []byte
	for _, r := range label {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		}
	}
	basic := len(out)
	if basic > 0 {
		out = append(out, '-')
	}
	n, delta, bias := rune(128), 0, 72
	for done := basic; done < len(label); {
		next := rune(utf8.MaxRune)
		for _, r := range label {
			if r >= n && r < next {
				next = r
			}
		}
		delta += int(next-n) * (done + 1)
		n = next
		for _, r := range label {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			q := delta
			for k := punyBase; ; k += punyBase {
				t := min(max(k-bias, punyTMin), punyTMax)
				if q < t {
					break
				}
				out = append(out, digit(t+(q-t)%(punyBase-t)))
				q = (q - t) / (punyBase - t)
			}
			out = append(out, digit(q))
			done++
			bias = adapt(delta, done, done-1 == basic)
			delta = 0
		}
		delta++
		n++
	}
	return string(out)
}

// adapt returns the bias for the next delta, when done characters are encoded: RFC 3492,
// section 6.1.
func adapt(delta, done int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / done
	k := 0
	for ; delta > (punyBase-punyTMin)*punyTMax/2; k += punyBase {
		delta /= punyBase - punyTMin
	}
	return k + (punyBase-punyTMin+1)*delta/(delta+punySkew)
}

// digit is a number below 36 as punycode writes it.
func digit(d int) byte {
	if d < 26 {
		return 'a' + byte(d)
	}
	return '0' + byte(d-26)
}
