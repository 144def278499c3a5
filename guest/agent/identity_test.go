package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func identityParams() params {
	return params{
		"entropy": base64.StdEncoding.EncodeToString(make([]byte, 64)), "unix_ns": "1700000000000000000", "hostname": "child",
	}
}

func TestIdentityReseedsRuntimes(t *testing.T) {
	c := startPython(t)
	identify := func() {
		t.Helper()
		if r := c.call("identity", identityParams()); r.Error != nil || r.text("clock_step_ns") != "0" {
			t.Fatalf("%+v %+v", r.Result, r.Error)
		}
	}
	draw := "random.seed(1); first = random.random(); random.seed(1); first"
	plain := c.eval("random.seed(1); random.random()").text("result")
	if got := c.eval(draw).text("result"); got != plain {
		t.Fatalf("%s after a seed, then %s", plain, got)
	}
	c.eval("random.seed(1)")
	identify()
	if got := c.eval("random.random()").text("result"); got == plain {
		t.Error("an idle runtime kept its state")
	}
	c.eval("random.seed(1)")
	if got := c.eval("random.random()").text("result"); got != plain {
		t.Error("reseeded again, without an identity")
	}
	// While code runs, it happens at once.
	seeded := filepath.Join(t.TempDir(), "seeded")
	running := c.request("eval", params{
		"code": "import time\nrandom.seed(1); state = random.getstate(); open('" + seeded + "', 'w').close()\n" +
			"end = time.monotonic() + 20\nwhile random.getstate() == state and time.monotonic() < end: time.sleep(0.01)\n" +
			"random.getstate() == state",
	})
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(seeded); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the code did not begin")
		}
	}
	identify()
	if r := c.wait(running); r.text("result") != "False" {
		t.Errorf("code that was running kept the state: %+v", r.Result)
	}
	// With threads, too: they could draw numbers before the next eval.
	c.eval("import threading\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()")
	c.eval("random.seed(1)")
	identify()
	if got := c.eval("random.random()").text("result"); got == plain {
		t.Error("a runtime with threads kept its state")
	}
}

func TestIdentityParams(t *testing.T) {
	c := startPlainAgent(t)
	for name, bad := range map[string]interface{}{"entropy": "AAAA", "unix_ns": "soon", "hostname": strings.Repeat("h", 65)} {
		p := identityParams()
		p[name] = bad
		c.call("identity", p).wantError(t, "invalid", name)
	}
}
