package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExecExitCodesAndOutput(t *testing.T) {
	c := startPlainAgent(t)
	r := c.sh("echo out; echo err >&2; exit 7")
	if r.exitCode() != 7 || string(r.stdout) != "out\n" || string(r.stderr) != "err\n" {
		t.Errorf("%+v %q %q", r.Result, r.stdout, r.stderr)
	}
	if _, has := r.Result["signal"]; has || r.Result["timed_out"] != false {
		t.Errorf("%+v", r.Result)
	}
	r = c.sh("kill -TERM $$")
	if r.exitCode() != -15 || r.Result["signal"] != "SIGTERM" {
		t.Errorf("%+v", r.Result)
	}
	r = c.sh("printf '\\000\\377\\200bytes'")
	if string(r.stdout) != "\x00\xff\x80bytes" {
		t.Errorf("%q", r.stdout)
	}
	if r := c.run(params{"args": []string{"cat"}}); r.exitCode() != 0 || len(r.stdout) != 0 {
		t.Errorf("standard input is not /dev/null: %+v %q", r.Result, r.stdout)
	}
}

func TestExecEnvironmentAndDirectory(t *testing.T) {
	c := startPlainAgent(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := c.run(params{
		"args": []string{"sh", "-c", "echo $A; echo $LANG $TERM; pwd; echo $HOME"}, "env": params{"A": "b c", "HOME": "/h"},
		"cwd": dir,
	})
	if string(r.stdout) != "b c\nC.UTF-8 dumb\n"+dir+"\n/h\n" {
		t.Errorf("%q", r.stdout)
	}
	r = c.run(params{"args": []string{"sh", "-c", "pwd; echo $PATH"}})
	if string(r.stdout) != "/\n"+defaultPath+"\n" {
		t.Errorf("%q", r.stdout)
	}
	script := filepath.Join(dir, "tool")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"tool $0\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r = c.run(params{"args": []string{"tool"}, "env": params{"PATH": dir}})
	if string(r.stdout) != "tool "+script+"\n" {
		t.Errorf("%q", r.stdout)
	}
	if r = c.run(params{"args": []string{"./tool"}, "cwd": dir}); !strings.HasPrefix(string(r.stdout), "tool ") {
		t.Errorf("%q", r.stdout)
	}
}

func TestExecImageDefaults(t *testing.T) {
	c := startAgent(t, params{"env": params{"PATH": "/bin:/usr/bin", "FROM_IMAGE": "yes"}, "workdir": "/usr"}).connect()
	r := c.run(params{"args": []string{"sh", "-c", "echo $FROM_IMAGE $PATH; pwd"}})
	if string(r.stdout) != "yes /bin:/usr/bin\n/usr\n" {
		t.Errorf("%q", r.stdout)
	}
}

func TestExecUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("changing the user takes root")
	}
	c := startPlainAgent(t)
	show := []string{"sh", "-c", "id -u; id -g; id -G; echo $USER $HOME"}
	for user, want := range map[string]string{
		"nobody":      "65534\n65534\n65534\nnobody /nonexistent\n",
		"65534":       "65534\n65534\n65534\nnobody /nonexistent\n",
		"54321":       "54321\n54321\n54321\n54321 /\n",
		"54321:12345": "54321\n12345\n12345\n54321 /\n",
		"root":        "",
	} {
		r := c.run(params{"args": show, "user": user})
		if want != "" && string(r.stdout) != want {
			t.Errorf("%s: %q %q", user, r.stdout, r.stderr)
		}
	}
	c.call("exec", params{"args": show, "user": "no-such-user"}).wantError(t, "not_found", `user "no-such-user"`)
	c.call("exec", params{"args": show, "user": "nobody:x"}).wantError(t, "invalid", "uid:gid")
}

func TestExecRefusals(t *testing.T) {
	c := startPlainAgent(t)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	noInterpreter := filepath.Join(dir, "script")
	noFormat := filepath.Join(dir, "noformat")
	os.WriteFile(plain, nil, 0o644)
	os.WriteFile(noInterpreter, []byte("#!/no/such/interpreter\n"), 0o755)
	os.WriteFile(noFormat, []byte("not a program"), 0o755)
	for _, test := range []struct {
		p          params
		code, text string
	}{
		{params{"args": []string{"nosuch"}}, "not_found", `exec: "nosuch": not found in PATH`},
		{params{"args": []string{"/no/such"}}, "not_found", `exec: "/no/such": no such file`},
		{params{"args": []string{plain}}, "not_found", "permission denied"},
		{params{"args": []string{dir}}, "not_found", "is a directory"},
		{params{"args": []string{noInterpreter}}, "not_found", "interpreter"},
		{params{"args": []string{noFormat}}, "invalid", "exec format error"},
		{params{"args": []string{}}, "invalid", "args"},
		{params{}, "invalid", "args"},
		{params{"args": "ls"}, "invalid", "params"},
		{params{"args": []string{"a\x00b"}}, "invalid", "zero byte"},
		{params{"args": []string{"true"}, "env": params{"A=B": "c"}}, "invalid", "environment"},
		{params{"args": []string{"true"}, "cwd": "/no/such"}, "invalid", "is not a directory"},
		{params{"args": []string{"true"}, "cwd": "tmp"}, "invalid", "absolute"},
		{params{"args": []string{"true"}, "timeout_ms": -1}, "invalid", "from 0 on"},
		{params{"args": []string{"true", strings.Repeat("x", 200_000)}}, "invalid", "argument list too long"},
	} {
		c.call("exec", test.p).wantError(t, test.code, test.text)
	}
	c.call("no-such-method", nil).wantError(t, "unknown_method", `"no-such-method"`)
	if r := c.sh("ls /proc/$PPID/fd | wc -l"); r.exitCode() != 0 {
		t.Fatalf("%+v", r.Result)
	}
}

func TestExecLeavesNoDescriptors(t *testing.T) {
	c := startPlainAgent(t)
	count := func() string { return string(c.sh("ls /proc/$PPID/fd | wc -l").stdout) }
	first := count()
	for i := 0; i < 20; i++ {
		c.sh("true")
		c.call("exec", params{"args": []string{"nosuch"}, "stdin": true})
		c.call("exec", params{"args": []string{"true", strings.Repeat("x", 200_000)}, "stdin": true})
	}
	if last := count(); last != first {
		t.Errorf("%s descriptors at first, %s later", first, last)
	}
}

func processGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

func parsePID(t *testing.T, text []byte) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestExecTimeLimitKillsTheGroup(t *testing.T) {
	c := startPlainAgent(t)
	r := c.run(params{"args": []string{"sh", "-c", "sleep 1000 & echo $!; wait"}, "timeout_ms": 300})
	if r.Result["timed_out"] != true || r.exitCode() != -9 || r.Result["signal"] != "SIGKILL" {
		t.Errorf("%+v", r.Result)
	}
	processGone(t, parsePID(t, r.stdout))
	r = c.run(params{"args": []string{"sleep", "1000"}, "timeout_ms": 0})
	if r.Result["timed_out"] != true || r.exitCode() != -9 {
		t.Errorf("%+v", r.Result)
	}
}

func TestExecCancelKillsTheGroup(t *testing.T) {
	c := startPlainAgent(t)
	stream := c.request("exec", params{"args": []string{"sh", "-c", "sleep 1000 & echo $!; wait"}})
	f := c.read()
	if f.kind != frameData {
		t.Fatalf("a frame of type %d", f.kind)
	}
	c.send(frameCancel, 0, stream, nil)
	c.wait(stream).wantError(t, "cancelled", "")
	processGone(t, parsePID(t, f.payload))
	// A frame that crossed the response leads nowhere.
	c.send(frameCancel, 0, stream, nil)
	if r := c.sh("echo on"); string(r.stdout) != "on\n" {
		t.Errorf("%q", r.stdout)
	}
}
