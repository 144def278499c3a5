package main

import (
	"bytes"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func terminalOf(rows, cols int, script string) params {
	return params{
		"args": []string{"sh", "-c", script}, "stdin": true, "stream": true,
		"terminal": params{"rows": rows, "cols": cols},
	}
}

// screen reads a stream's output until the text has come, and gives all of it.
func (c *client) screen(stream uint32, text string) string {
	c.t.Helper()
	var seen []byte
	for !bytes.Contains(seen, []byte(text)) {
		f := c.read()
		if f.stream != stream || f.kind != frameData && f.kind != frameWindow {
			c.t.Fatalf("a frame of type %d: %s, while waiting for %q after %q", f.kind, f.payload, text, seen)
		}
		if f.kind == frameData {
			seen = append(seen, f.payload...)
			c.grant(stream, f.channel, len(f.payload))
		}
	}
	return string(seen)
}

func (c *client) typeKeys(stream uint32, keys string) {
	c.t.Helper()
	c.send(frameData, channelStdin, stream, []byte(keys))
}

func (c *client) number(kind byte, stream, value uint32) {
	c.t.Helper()
	var p [4]byte
	putUint32(p[:], value)
	c.send(kind, 0, stream, p[:])
}

func TestTerminal(t *testing.T) {
	c := startPlainAgent(t)
	stream := c.request("exec", terminalOf(31, 97, "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all >&2; read x; echo got $x"))
	text := c.screen(stream, "all\r\n")
	if !strings.HasPrefix(text, "/dev/pts/") || !strings.Contains(text, "\r\n31 97\r\nall\r\n") {
		t.Errorf("%q", text)
	}
	c.typeKeys(stream, "words\r")
	r := c.wait(stream)
	if string(r.stdout) != "words\r\ngot words\r\n" || r.exitCode() != 0 || len(r.stderr) != 0 {
		t.Errorf("%q %q %+v", r.stdout, r.stderr, r.Result)
	}
}

func TestTerminalResize(t *testing.T) {
	c := startPlainAgent(t)
	stream := c.request("exec", terminalOf(24, 80, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"))
	c.screen(stream, "ready\r\n")
	c.number(frameResize, stream, 50<<16|132)
	c.screen(stream, "50 132\r\n")
	c.number(frameSignal, stream, uint32(syscall.SIGKILL))
	if r := c.wait(stream); r.Result["signal"] != "SIGKILL" {
		t.Errorf("%+v", r.Result)
	}
}

func TestTerminalJobControl(t *testing.T) {
	c := startPlainAgent(t)
	p := terminalOf(24, 80, "")
	p["args"] = []string{"sh", "-i"}
	p["env"] = params{"PS1": "ready> ", "ENV": ""}
	stream := c.request("exec", p)
	c.screen(stream, "ready> ")
	// Ctrl-C ends what is in the foreground, not the shell.
	c.typeKeys(stream, "sh -c 'echo st\"\"arted; exec sleep 20'\r")
	c.screen(stream, "started\r\n")
	c.typeKeys(stream, "\x03")
	c.screen(stream, "ready> ")
	// So does a signal.
	c.typeKeys(stream, "sh -c 'echo st\"\"arted; exec sleep 20'\r")
	c.screen(stream, "started\r\n")
	c.number(frameSignal, stream, uint32(syscall.SIGTERM))
	c.screen(stream, "ready> ")
	// Ctrl-Z stops it, and the shell goes on.
	c.typeKeys(stream, "sh -c 'echo st\"\"arted; exec sleep 20'\r")
	c.screen(stream, "started\r\n")
	c.typeKeys(stream, "\x1a")
	c.screen(stream, "ready> ")
	c.typeKeys(stream, "jobs\rexit 5\rexit 5\r")
	r := c.wait(stream)
	if !strings.Contains(string(r.stdout), "Stopped") || r.exitCode() != 5 {
		t.Errorf("%q %+v", r.stdout, r.Result)
	}
}

func TestTerminalOutputIsWhole(t *testing.T) {
	c := startPlainAgent(t)
	for i := 0; i < 20; i++ {
		size := 100_000 + i
		p := terminalOf(24, 80, "")
		p["args"] = []string{"head", "-c", strconv.Itoa(size), "/dev/zero"}
		if r := c.call("exec", p); len(r.stdout) != size || r.exitCode() != 0 {
			t.Fatalf("%d bytes of %d, %+v", len(r.stdout), size, r.Result)
		}
	}
}

func TestTerminalEndOfInput(t *testing.T) {
	c := startPlainAgent(t)
	for _, keys := range []string{"", "one\n", "one\ntwo"} {
		p := terminalOf(24, 80, "")
		p["args"] = []string{"sh", "-c", "stty -echo; echo ready; cat; echo done"}
		stream := c.request("exec", p)
		c.screen(stream, "ready\r\n")
		if keys != "" {
			c.typeKeys(stream, keys)
		}
		c.send(frameEnd, channelStdin, stream, nil)
		r := c.wait(stream)
		want := strings.ReplaceAll(keys, "\n", "\r\n") + "done\r\n"
		if string(r.stdout) != want || r.exitCode() != 0 {
			t.Errorf("%q: %q in place of %q, %+v", keys, r.stdout, want, r.Result)
		}
	}
}

func TestTerminalCancelKillsTheForeground(t *testing.T) {
	c := startPlainAgent(t)
	p := terminalOf(24, 80, "")
	p["args"] = []string{"sh", "-i"}
	p["env"] = params{"PS1": "ready> "}
	stream := c.request("exec", p)
	c.screen(stream, "ready> ")
	c.typeKeys(stream, "sh -c 'trap \"\" HUP TERM INT; echo p''id $$; while :; do sleep 0.1; done'\r")
	text := c.screen(stream, "\r\npid ")
	for !strings.HasSuffix(text, "\r\n") || strings.HasSuffix(text, "'\r\n") {
		text += c.screen(stream, "\n")
	}
	fields := strings.Fields(text)
	pid := parsePID(t, []byte(fields[len(fields)-1]+"\n"))
	c.send(frameCancel, 0, stream, nil)
	c.wait(stream).wantError(t, "cancelled", "")
	processGone(t, pid)
}

func TestTerminalProgramThatLetsGoOfIt(t *testing.T) {
	c := startPlainAgent(t)
	stream := c.request("exec", terminalOf(24, 80, "exec 3>/dev/null <&- >&- 2>&-; sleep 0.2; echo still here >/dev/tty"))
	if r := c.wait(stream); string(r.stdout) != "still here\r\n" || r.exitCode() != 0 {
		t.Errorf("%q %+v", r.stdout, r.Result)
	}
}

func TestTerminalOfAnotherUser(t *testing.T) {
	if syscall.Getuid() != 0 {
		t.Fatal("only root may run programs as others")
	}
	c := startPlainAgent(t)
	p := terminalOf(24, 80, "echo by name > $(tty); id -u")
	p["user"] = "1234:1234"
	if r := c.call("exec", p); string(r.stdout) != "by name\r\n1234\r\n" {
		t.Errorf("%q %+v %+v", r.stdout, r.Result, r.Error)
	}
}

func TestTerminalParams(t *testing.T) {
	c := startPlainAgent(t)
	p := terminalOf(65536, 80, "true")
	c.call("exec", p).wantError(t, "invalid", "65535")
	p["terminal"] = true
	c.call("exec", p).wantError(t, "invalid", "")
	p = terminalOf(24, 80, "")
	p["args"] = []string{"/bin/sh-that-is-not-there"}
	c.call("exec", p).wantError(t, "not_found", "")
}

func TestExecSignals(t *testing.T) {
	c := startPlainAgent(t)
	stream := c.request("exec", params{"args": []string{"sh", "-c", "trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.05; done"}})
	c.screen(stream, "ready\n")
	c.number(frameSignal, stream, uint32(syscall.SIGTERM))
	if r := c.wait(stream); string(r.stdout) != "term\n" || r.exitCode() != 3 {
		t.Errorf("%q %+v", r.stdout, r.Result)
	}
	// The whole group gets it, as from a terminal.
	stream = c.request("exec", params{"args": []string{"sh", "-c", "sh -c 'echo ready; exec sleep 20'; echo not reached"}})
	c.screen(stream, "ready\n")
	c.number(frameSignal, stream, uint32(syscall.SIGINT))
	if r := c.wait(stream); r.Result["signal"] != "SIGINT" || len(r.stdout) != 0 {
		t.Errorf("%q %+v", r.stdout, r.Result)
	}
	// What is no stream, has ended, or runs no program hears nothing.
	c.number(frameSignal, stream, 15)
	c.number(frameResize, stream, 15)
	c.number(frameSignal, 9999, 15)
	if r := c.sh("echo on"); string(r.stdout) != "on\n" {
		t.Errorf("%q", r.stdout)
	}
}

func TestSignalThatIsNone(t *testing.T) {
	for _, number := range []uint32{0, 65, 1 << 31} {
		c := startPlainAgent(t)
		stream := c.request("exec", params{"args": []string{"sleep", "5"}})
		c.number(frameSignal, stream, number)
		c.request("ping", nil)
		if f, err := c.tryRead(200 * time.Millisecond); err == nil {
			t.Errorf("%d: a frame of type %d", number, f.kind)
		}
		c.sync()
	}
}

func TestStreamedOutputHasNoLimit(t *testing.T) {
	c := startPlainAgent(t)
	const size = maxOutput + 1_000_000
	r := c.run(params{"args": []string{"head", "-c", strconv.Itoa(size), "/dev/zero"}, "stream": true, "output_limit": 10})
	if len(r.stdout) != size || r.Result["stdout_truncated"] != false {
		t.Errorf("%d bytes, %+v", len(r.stdout), r.Result)
	}
}

func TestDetachedTerminalRunsOn(t *testing.T) {
	a := startAgent(t, params{})
	c := a.connect()
	stream := c.request("exec", terminalOf(24, 80, "echo pid $$; cat; echo ended; sleep 20"))
	text := c.screen(stream, "\n")
	pid := parsePID(t, []byte(strings.TrimPrefix(strings.TrimSpace(text), "pid ")+"\n"))
	c.sync()
	if r := c.sh("sleep 0.3; ps -o comm= --ppid " + strconv.Itoa(pid)); strings.TrimSpace(string(r.stdout)) != "cat" {
		t.Errorf("what a branch finds running is %q", r.stdout)
	}
	syscall.Kill(pid, syscall.SIGKILL)
}
