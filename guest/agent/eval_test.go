package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func startPython(t *testing.T) *client {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	driver, err := filepath.Abs("../runtimes/python/driver.py")
	if err != nil {
		t.Fatal(err)
	}
	return startAgent(t, params{
		"env":      params{"PATH": os.Getenv("PATH")},
		"runtimes": params{"python": params{"argv": []string{python, "-u", driver}}},
	}).connect()
}

// eval must not be refused.
func (c *client) eval(code string) reply {
	c.t.Helper()
	return c.evalWith(params{"code": code})
}

func (c *client) evalWith(p params) reply {
	c.t.Helper()
	r := c.call("eval", p)
	if r.Error != nil {
		c.t.Fatalf("%v: %+v", p["code"], *r.Error)
	}
	return r
}

func (r reply) text(name string) string {
	s, _ := r.Result[name].(string)
	return s
}

func TestEvalResults(t *testing.T) {
	c := startPython(t)
	for _, test := range []struct{ code, result string }{
		{"1 + 1", "2"}, {"x = 20", ""}, {"x * 2 + 2", "42"}, {"", ""}, {"# nothing", ""}, {"None", "None"},
		{"def f(n):\n    return n + 1\nf(1)", "2"}, {"if x:\n    7", ""}, {"'\\u00e9\\U0001f600'", "'\u00e9\U0001f600'"},
		{"'\\ud800'", `'\ud800'`}, {"json.dumps({}), re, math.pi > 3, datetime.date(2020, 1, 2).year", ""},
		{"[m.__name__ for m in (pathlib, subprocess, random, os, sys, io, itertools, collections, functools)][-1]", "'functools'"},
		{"class A:\n    pass\nimport pickle\npickle.loads(pickle.dumps(A())).__class__ is A", "True"},
		{"__name__", "'__main__'"}, {"input", "<built-in function input>"}, {"json.loads = None; x", "20"},
	} {
		r := c.eval(test.code)
		if r.Result["error"] != nil || r.exitCode() != 0 {
			t.Errorf("%q: %+v", test.code, r.Result)
		}
		if strings.HasPrefix(test.code, "json.dumps") {
			continue // only that the names are there
		}
		if (r.Result["result"] == nil) != (test.result == "") || r.text("result") != test.result {
			t.Errorf("%q: %v, want %q", test.code, r.Result["result"], test.result)
		}
	}
	if r := c.call("ping", nil); r.Result["warmup_ready"] != true || r.Result["agent_lang"] != "python" {
		t.Errorf("%+v", r.Result)
	}
}

func TestEvalExceptions(t *testing.T) {
	c := startPython(t)
	for _, test := range []struct{ code, want string }{
		{"undefined_x", "NameError: name 'undefined_x' is not defined"},
		{"raise SystemExit(3)", "SystemExit: 3"}, {"raise KeyboardInterrupt", "KeyboardInterrupt"},
		{"def f(:", "SyntaxError: "}, {"int('z')", "ValueError: invalid literal"}, {"'\x00'", "S"},
		{"def g(): g()\ng()", "RecursionError: "}, {"input()", "EOFError: "}, {"__builtins__ and 1/0", "ZeroDivisionError: "},
		{"class E(Exception):\n    def __str__(self): 1/0\nraise E", "E: <the message cannot be shown>"},
		{"class R:\n    def __repr__(self): raise ValueError('no repr')\nR()", "ValueError: no repr"},
		{"[0] * 10**15", "MemoryError"}, {"raise Exception('\\ud800')", `Exception: \ud800`},
	} {
		r := c.eval(test.code)
		if !strings.HasPrefix(r.text("error"), test.want) || r.Result["result"] != nil || r.exitCode() != 1 {
			t.Errorf("%q: %+v", test.code, r.Result)
		}
		if trace := r.text("traceback"); !strings.Contains(trace, strings.SplitN(test.want, ":", 2)[0]) ||
			strings.Contains(trace, "driver.py") {
			t.Errorf("%q: traceback %q", test.code, trace)
		}
	}
	r := c.eval("def h():\n    return 1/0\nh()")
	if trace := r.text("traceback"); !strings.Contains(trace, "line 2, in h\n    return 1/0") {
		t.Errorf("no source in %q", trace)
	}
}

func TestEvalOutput(t *testing.T) {
	c := startPython(t)
	r := c.eval("print('a'); print('b', file=sys.stderr); os.system('echo c; echo d >&2'); os.write(1, b'\\xff')")
	if r.text("stdout") != "a\nc\n\ufffd" || r.text("stderr") != "b\nd\n" {
		t.Errorf("%+v", r.Result)
	}
	if r = c.eval("print('\\ud800')"); r.text("stdout") != "\\ud800\n" {
		t.Errorf("%+v", r.Result)
	}
	r = c.eval("print('x' * 3_000_000)")
	if out := r.text("stdout"); len(out) < maxCapture || len(out) > maxCapture+100 || !strings.HasSuffix(out, "more bytes]\n") {
		t.Errorf("%d bytes", len(out))
	}
	if r.parts == 0 {
		t.Error("a megabyte came without PART")
	}
	r = c.eval("'x' * 3_000_000")
	if out := r.text("result"); len(out) < 1<<20 || len(out) > 1<<20+100 || !strings.HasSuffix(out, "bytes in all]") {
		t.Errorf("%d bytes", len(out))
	}
	// What code does to the standard streams lasts no longer than its eval.
	c.eval("sys.stdout.close(); os.close(1); os.close(2)")
	if r = c.eval("print('on')"); r.text("stdout") != "on\n" {
		t.Errorf("%+v", r.Result)
	}
	// A process in the background that holds the streams does not hold up the answer.
	r = c.eval("p = subprocess.Popen(['sleep', '1000']); p.pid")
	pid := parsePID(t, []byte(r.text("result")))
	if r = c.eval("p.kill(); p.wait()"); r.text("result") != "-9" {
		t.Errorf("%+v", r.Result)
	}
	processGone(t, pid)
}

func TestEvalLongCode(t *testing.T) {
	c := startPython(t)
	code := "s = '" + strings.Repeat("z", 500_000) + "'\nlen(s)"
	if r := c.eval(code); r.text("result") != "500000" {
		t.Errorf("%+v", r.Result)
	}
}

func TestEvalRuntimeDeath(t *testing.T) {
	c := startPython(t)
	for _, test := range []struct{ code, how string }{
		{"print('last words', flush=True); os._exit(4)", "ended with exit code 4"},
		{"import ctypes; ctypes.string_at(0)", "was ended by SIGSEGV"},
		{"os.kill(os.getpid(), 9)", "was ended by SIGKILL"},
		{"sys.setrecursionlimit(10**9)\ndef g(n): return [g(n + 1)]\nimport ctypes\nctypes.string_at(0)", "SIGSEGV"},
		{"os.closerange(3, 5000); import time; time.sleep(0)", "ended"},
	} {
		c.eval("kept = 1")
		r := c.eval(test.code)
		message := r.text("error")
		if !strings.HasPrefix(message, "RuntimeDied: ") || !strings.Contains(message, test.how) ||
			!strings.Contains(message, "variables are lost; it was restarted") || r.exitCode() != 1 {
			t.Errorf("%q: %+v", test.code, r.Result)
		}
		if strings.HasPrefix(test.code, "print") && r.text("stdout") != "last words\n" {
			t.Errorf("%+v", r.Result)
		}
		if r = c.eval("'kept' in globals()"); r.text("result") != "False" {
			t.Errorf("after %q: %+v", test.code, r.Result)
		}
	}
}

func TestEvalDeathBetweenEvals(t *testing.T) {
	c := startPython(t)
	pid := parsePID(t, []byte(c.eval("x = 1; os.getpid()").text("result")))
	if p, err := os.FindProcess(pid); err != nil || p.Kill() != nil {
		t.Fatal("cannot kill the runtime")
	}
	processGone(t, pid)
	r := c.eval("x")
	if message := r.text("error"); !strings.Contains(message, "since the last eval") || !strings.Contains(message, "did not run") {
		t.Errorf("%+v", r.Result)
	}
	if r = c.eval("1"); r.text("result") != "1" {
		t.Errorf("%+v", r.Result)
	}
}

func TestEvalTimeLimit(t *testing.T) {
	c := startPython(t)
	c.eval("kept = 1")
	r := c.evalWith(params{"code": "print('begun')\nwhile True: pass", "timeout_ms": 300})
	if !strings.HasPrefix(r.text("error"), "TimeoutError: the time limit of 300 ms") || r.text("stdout") != "begun\n" ||
		strings.Contains(r.text("traceback"), "driver.py") || !strings.Contains(r.text("traceback"), "line 2") {
		t.Errorf("%+v", r.Result)
	}
	if r = c.eval("kept"); r.text("result") != "1" {
		t.Errorf("variables did not survive an interrupt: %+v", r.Result)
	}
	r = c.evalWith(params{"code": "subprocess.run(['sleep', '1000'])", "timeout_ms": 300})
	if !strings.HasPrefix(r.text("error"), "TimeoutError: ") {
		t.Errorf("%+v", r.Result)
	}
	code := "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass"
	r = c.evalWith(params{"code": code, "timeout_ms": 300})
	if !strings.HasPrefix(r.text("error"), "TimeoutError: ") || strings.Contains(r.text("error"), "lost") {
		t.Errorf("%+v", r.Result)
	}
	stubborn := "import time\nwhile True:\n    try:\n        time.sleep(1000)\n    except BaseException:\n        pass"
	r = c.evalWith(params{"code": stubborn, "timeout_ms": 300})
	if !strings.HasPrefix(r.text("error"), "TimeoutError: ") || !strings.Contains(r.text("error"), "variables are lost") {
		t.Errorf("%+v", r.Result)
	}
	if r = c.eval("'kept' in globals()"); r.text("result") != "False" {
		t.Errorf("%+v", r.Result)
	}
}

func TestEvalsTakeTurns(t *testing.T) {
	c := startPython(t)
	c.eval("import time")
	first := c.request("eval", params{"code": "time.sleep(0.5); print('first'); x = 1"})
	second := c.request("eval", params{"code": "x"})
	late := c.request("eval", params{"code": "x = 2", "timeout_ms": 10})
	if r := c.wait(late); !strings.Contains(r.text("error"), "did not begin") {
		t.Errorf("%+v", r.Result)
	}
	if r := c.wait(first); r.text("stdout") != "first\n" {
		t.Errorf("%+v", r.Result)
	}
	if r := c.wait(second); r.text("result") != "1" || r.text("stdout") != "" {
		t.Errorf("%+v", r.Result)
	}
}

func TestEvalCancel(t *testing.T) {
	c := startPython(t)
	c.eval("import time; kept = 1")
	// Interrupts of its own do not count as the agent's.
	if r := c.eval("import signal; os.kill(os.getpid(), signal.SIGINT); time.sleep(1000)"); r.text("error") != "KeyboardInterrupt" {
		t.Errorf("%+v", r.Result)
	}
	running := c.request("eval", params{"code": "time.sleep(1000)"})
	waiting := c.request("eval", params{"code": "kept = 2"})
	c.send(frameCancel, 0, waiting, nil)
	c.wait(waiting).wantError(t, "cancelled", "")
	c.send(frameCancel, 0, running, nil)
	c.wait(running).wantError(t, "cancelled", "")
	if r := c.eval("kept"); r.text("result") != "1" {
		t.Errorf("%+v", r.Result)
	}
}

func TestEvalForksAndThreads(t *testing.T) {
	c := startPython(t)
	for i := 0; i < 3; i++ {
		r := c.eval("pid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('here', flush=True)\npid > 0")
		if r.text("result") != "True" || r.text("stdout") != "here\nhere\n" {
			t.Errorf("%+v", r.Result)
		}
	}
	r := c.eval("pid = os.fork()\nif not pid: raise SystemExit(5)\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])")
	if r.text("result") != "5" {
		t.Errorf("%+v", r.Result)
	}
	// A forked child that lives on, out of the group, holds nothing up, not even the runtime's end.
	r = c.eval("pid = os.fork()\nif not pid:\n    os.setsid(); import time; time.sleep(1000)\npid")
	pid := parsePID(t, []byte(r.text("result")))
	if r = c.eval("os._exit(0)"); !strings.HasPrefix(r.text("error"), "RuntimeDied") {
		t.Errorf("%+v", r.Result)
	}
	if p, err := os.FindProcess(pid); err == nil {
		p.Kill()
	}
	processGone(t, pid)
	c.eval("import threading, time\nthreading.Thread(target=lambda: [time.sleep(0.01) for _ in iter(int, 1)], daemon=True).start()")
	if r = c.eval("threading.active_count()"); r.text("result") != "2" {
		t.Errorf("%+v", r.Result)
	}
}

func TestEvalWithoutRuntime(t *testing.T) {
	c := startPlainAgent(t)
	c.call("eval", params{"code": "1"}).wantError(t, "not_found", "runtime")
	if r := c.call("ping", nil); r.Result["warmup_ready"] != true || r.Result["numpy_version"] != "not-installed" {
		t.Errorf("%+v", r.Result)
	}
	broken := startAgent(t, params{"runtimes": params{"python": params{"argv": []string{"/bin/sh", "-c", "echo why >&2; exit 3"}}}})
	c = broken.connect()
	if r := c.eval("1"); !strings.HasPrefix(r.text("error"), "RuntimeDied: the python runtime does not start: ended with exit code 3: why") {
		t.Errorf("%+v", r.Result)
	}
	if r := c.call("ping", nil); r.Result["warmup_ready"] != false {
		t.Errorf("%+v", r.Result)
	}
	c = startAgent(t, params{"runtimes": params{"python": params{"argv": []string{"/no/such"}}}}).connect()
	if r := c.eval("1"); !strings.Contains(r.text("error"), "no such file") {
		t.Errorf("%+v", r.Result)
	}
	c.call("eval", params{"code": "1", "runtime": "ruby"}).wantError(t, "not_found", "ruby")
	c.call("eval", params{}).wantError(t, "invalid", "code")
}
