package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// decodeAny reads a value of any kind as encoding/json does.
func decodeAny(r *jsonReader) interface{} {
	switch c := r.next(); {
	case c == '{':
		m := map[string]interface{}{}
		r.object(func(key string) { m[key] = decodeAny(r) })
		return m
	case c == '[':
		a := []interface{}{}
		r.array(func() { a = append(a, decodeAny(r)) })
		return a
	case c == '"':
		return r.string()
	case c == 't' || c == 'f':
		return r.bool()
	case c == 'n':
		r.skip()
		return nil
	}
	var v float64
	text := r.value()
	if r.problem == "" {
		if err := json.Unmarshal(text, &v); err != nil {
			r.fail(err.Error())
		}
	}
	return v
}

func FuzzJSONReader(f *testing.F) {
	for _, text := range []string{
		`{"method":"ping","params":{}}`, `{"a":[1,-2.5e3,true,false,null,"\u00e9\ud83d\ude00\ud800x\n\\"],"b":{"c":{}}}`,
		`[]`, `"\uD83D\u0041"`, `{"a":1,}`, `[1 2]`, `01`, `-`, `"a`, "\"\x01\"", `nul`, `{"a"}`, ` { } `, `1.`, `"\q"`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.Count(text, "[")+strings.Count(text, "{") > maxJSONDepth/2 {
			return
		}
		var want interface{}
		wantErr := json.Unmarshal([]byte(text), &want)
		r := &jsonReader{text: []byte(text)}
		got := decodeAny(r)
		r.end()
		if wantErr == nil && (r.problem != "" || !reflect.DeepEqual(got, want)) {
			t.Fatalf("%q: got %#v (%s), want %#v", text, got, r.problem, want)
		}
	})
}

func FuzzAppendJSONString(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\x00\x1f\"\\\n\xff\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got string
		encoded := appendJSONString(nil, text)
		if err := json.Unmarshal(encoded, &got); err != nil {
			t.Fatalf("%q became %q: %v", text, encoded, err)
		}
		if want := strings.ToValidUTF8(string(text), "\ufffd"); utf8.Valid(text) && got != want {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func TestJSONIntegers(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-0": 0, "7": 7, "-12": -12, "9007199254740993": maxInteger, "99999999999999999999999999": maxInteger,
	} {
		r := &jsonReader{text: []byte(text)}
		if got := r.integer(); got != want || r.problem != "" {
			t.Errorf("%s: %d %s", text, got, r.problem)
		}
	}
	for _, text := range []string{"", "-", "1.5", "1e3", "01", "true", `"1"`} {
		r := &jsonReader{text: []byte(text)}
		if got := r.integer(); r.problem == "" {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestImageDescription(t *testing.T) {
	im, problem := parseImage([]byte(`{"env":{"A":"1"},"hostname":"h","runtimes":{"python":{"argv":["/p","-u"],"x":1}},"new":[]}`))
	if problem != "" || im.env["A"] != "1" || im.hostname != "h" || !reflect.DeepEqual(im.runtimes["python"], []string{"/p", "-u"}) {
		t.Errorf("%+v %s", im, problem)
	}
	for _, text := range []string{"", "{", `{"env":{"A=":"1"}}`, `{"runtimes":{"p":{"argv":["python3"]}}}`, `{"workdir":"tmp"}`, "{} x"} {
		if _, problem := parseImage([]byte(text)); problem == "" {
			t.Errorf("%s: no complaint", text)
		}
	}
}
