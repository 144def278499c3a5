package main

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader decodes JSON value by value, as the caller expects them; the first value that is something else ends it
// with a problem. encoding/json would cost a fork milliseconds: all its code, and reflection, run cold there.
type jsonReader struct {
	text    []byte
	at      int
	depth   int
	problem string
}

const maxJSONDepth = 64

func (r *jsonReader) fail(problem string) {
	if r.problem == "" {
		r.problem = problem + " at byte " + strconv.Itoa(r.at)
	}
	r.at = len(r.text)
}

// next skips white space; 0 at the end.
func (r *jsonReader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (r *jsonReader) expect(c byte) bool {
	if r.next() != c {
		r.fail("expected " + strconv.QuoteRune(rune(c)))
		return false
	}
	r.at++
	return true
}

// literal takes null, true or false if it is next.
func (r *jsonReader) literal(word string) bool {
	if r.next() != word[0] || len(r.text)-r.at < len(word) || string(r.text[r.at:r.at+len(word)]) != word {
		return false
	}
	r.at += len(word)
	return true
}

// object calls member for each key; it must read the value. null counts as an object without members.
func (r *jsonReader) object(member func(key string)) {
	r.sequence('{', '}', func() {
		key := r.string()
		if r.expect(':') {
			member(key)
		}
	})
}

// array calls element for each; null counts as an empty one.
func (r *jsonReader) array(element func()) { r.sequence('[', ']', element) }

func (r *jsonReader) sequence(open, end byte, item func()) {
	if r.literal("null") || !r.expect(open) {
		return
	}
	if r.depth++; r.depth > maxJSONDepth {
		r.fail("nested too deeply")
		return
	}
	if r.next() == end {
		r.at++
		r.depth--
		return
	}
	for r.problem == "" {
		item()
		if r.next() == ',' {
			r.at++
			continue
		}
		r.expect(end)
		break
	}
	r.depth--
}

func (r *jsonReader) string() string {
	if !r.expect('"') {
		return ""
	}
	start := r.at
	for i := start; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.at = i + 1
			return string(r.text[start:i])
		case c == '\\':
			return r.escapedString(start, i)
		case c < ' ':
			r.at = i
			r.fail("a control character in a string")
			return ""
		}
	}
	r.fail("a string without an end")
	return ""
}

// escapedString goes on where the first escape is.
func (r *jsonReader) escapedString(start, i int) string {
	b := append([]byte(nil), r.text[start:i]...)
	for i < len(r.text) {
		c := r.text[i]
		i++
		switch {
		case c == '"':
			r.at = i
			return string(b)
		case c < ' ':
			r.fail("a control character in a string")
			return ""
		case c != '\\':
			b = append(b, c)
			continue
		}
		if i == len(r.text) {
			break
		}
		c = r.text[i]
		i++
		switch c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			unit, ok := r.hex4(i)
			if !ok {
				r.fail("a bad escape in a string")
				return ""
			}
			i += 4
			if utf16.IsSurrogate(unit) {
				low := rune(-1)
				if i+6 <= len(r.text) && r.text[i] == '\\' && r.text[i+1] == 'u' {
					low, _ = r.hex4(i + 2)
				}
				// A half without its other half becomes U+FFFD, and what follows it stands for itself.
				if unit = utf16.DecodeRune(unit, low); unit != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, unit)
		default:
			r.fail("a bad escape in a string")
			return ""
		}
	}
	r.fail("a string without an end")
	return ""
}

func (r *jsonReader) hex4(at int) (rune, bool) {
	if at+4 > len(r.text) {
		return -1, false
	}
	v := rune(0)
	for _, c := range r.text[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}

func (r *jsonReader) bool() bool {
	if r.literal("true") {
		return true
	}
	if !r.literal("false") {
		r.fail("expected true or false")
	}
	return false
}

// maxInteger: all whole numbers up to it are exact in the double precision a host computes in.
const maxInteger = 1 << 53

// integer reads a whole number; one beyond maxInteger counts as maxInteger.
func (r *jsonReader) integer() int64 {
	r.next()
	negative := r.at < len(r.text) && r.text[r.at] == '-'
	if negative {
		r.at++
	}
	start, v := r.at, int64(0)
	for ; r.at < len(r.text) && r.text[r.at]-'0' <= 9; r.at++ {
		if v < maxInteger {
			v = v*10 + int64(r.text[r.at]-'0')
		}
	}
	if r.at == start || (r.text[start] == '0' && r.at > start+1) {
		r.fail("expected a whole number")
		return 0
	}
	if r.at < len(r.text) && (r.text[r.at] == '.' || r.text[r.at]|0x20 == 'e') {
		r.fail("expected a whole number")
		return 0
	}
	if v > maxInteger {
		v = maxInteger
	}
	if negative {
		return -v
	}
	return v
}

// natural is an integer from 0 on.
func (r *jsonReader) natural() int64 {
	v := r.integer()
	if v < 0 {
		r.fail("expected a number from 0 on")
		return 0
	}
	return v
}

// skip passes over a value of any kind: members this version does not know.
func (r *jsonReader) skip() {
	switch c := r.next(); {
	case c == '{':
		r.object(func(string) { r.skip() })
	case c == '[':
		r.array(r.skip)
	case c == '"':
		r.string()
	case c == '-' || c-'0' <= 9:
		r.skipNumber()
	case !r.literal("null") && !r.literal("true") && !r.literal("false"):
		r.fail("expected a value")
	}
}

func (r *jsonReader) skipNumber() {
	start := r.at
	for r.at < len(r.text) {
		c := r.text[r.at]
		if c-'0' > 9 && c != '-' && c != '+' && c != '.' && c|0x20 != 'e' {
			break
		}
		r.at++
	}
	if _, err := strconv.ParseFloat(string(r.text[start:r.at]), 64); err != nil {
		r.fail("a bad number")
	}
}

// value returns the bytes of a value of any kind.
func (r *jsonReader) value() []byte {
	r.next()
	start := r.at
	r.skip()
	return r.text[start:r.at]
}

// end fails when anything follows.
func (r *jsonReader) end() {
	if r.problem == "" && r.next() != 0 {
		r.fail("something follows the value")
	}
}
