package main

import (
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

func splitRequest(message []byte) (method string, params []byte, err error) {
	var r struct {
		Method *string         `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(message, &r); err != nil {
		return "", nil, err
	}
	if r.Method == nil {
		return "", nil, errors.New("it has no method")
	}
	return *r.Method, r.Params, nil
}

func decodeParams(params []byte, into interface{}) *failure {
	if len(params) == 0 {
		return nil
	}
	if err := json.Unmarshal(params, into); err != nil {
		return invalid("params: " + err.Error())
	}
	return nil
}

func appendInt(b []byte, v int64) []byte { return strconv.AppendInt(b, v, 10) }

func appendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

func quote(s string) string { return strconv.Quote(s) }

const hexDigits = "0123456789abcdef"

// appendJSONString appends text as a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendJSONString(b, text []byte) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, text[start:i]...)
				b = append(b, "\xef\xbf\xbd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, text[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\t':
			b = append(b, `\t`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	b = append(b, text[start:]...)
	return append(b, '"')
}
