package main

import (
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestHello(t *testing.T) {
	c := startPlainAgent(t)
	if c.hello["protocol"] != float64(1) || c.hello["agent"] != version || len(c.hello["capabilities"].([]interface{})) != 5 {
		t.Errorf("%+v", c.hello)
	}
}

func TestRequestsRightBehindSync(t *testing.T) {
	a := startAgent(t, params{})
	c := &client{t: t, agent: a, conn: a.dial()}
	defer c.conn.Close()
	nonce := make([]byte, nonceSize)
	input := syncBytes(nonce)
	for i := uint32(1); i <= 3; i++ {
		input = append(input, encodeFrame(frameRequest, 0, i, encodeRequest("exec", params{"args": []string{"echo", "hi"}}))...)
	}
	input = append(input, encodeFrame(frameRequest, 0, 4, encodeRequest("ping", nil))...)
	c.write(input)
	head := make([]byte, len(answerMagic)+nonceSize)
	if _, err := readFull(c, head); err != nil {
		t.Fatal(err)
	}
	if string(head[:len(answerMagic)]) != string(answerMagic[:]) {
		t.Fatalf("%x came before the answer to SYNC", head)
	}
	if f := c.read(); f.kind != frameHello {
		t.Fatalf("a frame of type %d before HELLO", f.kind)
	}
	answers := 0
	output := ""
	for answers < 4 {
		switch f := c.read(); f.kind {
		case frameData:
			output += string(f.payload)
		case frameResponse:
			answers++
		}
	}
	if output != "hi\nhi\nhi\n" {
		t.Errorf("%q", output)
	}
}

func readFull(c *client, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c.conn.SetReadDeadline(time.Now().Add(patience))
		m, err := c.conn.Read(p[n:])
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// silence checks that nothing comes for streams of an earlier connection, by asking something else.
func silence(t *testing.T, c *client) {
	t.Helper()
	c.last = maxStream / 2
	for i := 0; i < 20; i++ {
		if r := c.call("ping", nil); r.Result["pong"] != true {
			t.Fatalf("%+v", r.Result)
		}
	}
}

func TestNewSyncDetachesStreams(t *testing.T) {
	c := startPlainAgent(t)
	for _, reconnect := range []bool{false, true} {
		dir := t.TempDir()
		go_, done := filepath.Join(dir, "go"), filepath.Join(dir, "done")
		script := "echo begun; while [ ! -e " + go_ + " ]; do sleep 0.01; done; head -c 1000000 /dev/zero; cat; echo yes > " + done
		c.request("exec", params{"args": []string{"sh", "-c", script}, "stdin": true})
		for c.read().kind != frameData {
		}
		if reconnect {
			c.conn.Close()
			c = c.agent.connect()
		} else {
			c.sync()
		}
		if err := os.WriteFile(go_, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		silence(t, c)
		// More than a window of output that nobody takes, then the end of its input: it runs on to its own end.
		for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			if text, _ := os.ReadFile(done); string(text) == "yes\n" {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the detached program did not come to its end")
			}
		}
		silence(t, c)
	}
}

func TestTimeLimitHoldsForDetachedStreams(t *testing.T) {
	c := startPlainAgent(t)
	c.request("exec", params{"args": []string{"sh", "-c", "echo $$; exec sleep 1000"}, "timeout_ms": 500})
	pid := parsePID(t, c.read().payload)
	c.sync()
	processGone(t, pid)
}

func TestSyncCutsInAnywhere(t *testing.T) {
	c := startPlainAgent(t)
	rng := rand.New(rand.NewSource(1))
	request := encodeFrame(frameRequest, 0, 1, encodeRequest("exec", params{"args": []string{"echo", strings.Repeat("x", 300)}}))
	for i := 0; i < 60; i++ {
		cut := rng.Intn(len(request))
		c.write(request[:cut])
		if i%2 == 0 {
			c.conn.Close()
			c.conn = c.agent.dial()
		}
		c.sync()
		c.last = 0
		if r := c.sh("echo fine"); string(r.stdout) != "fine\n" {
			t.Fatalf("cut at %d: %q", cut, r.stdout)
		}
	}
}

func TestNewConnectionReplacesTheOld(t *testing.T) {
	c := startPlainAgent(t)
	second := c.agent.connect()
	if _, err := c.tryRead(patience); err == nil {
		t.Error("the old connection still gives frames")
	}
	if r := second.call("ping", nil); r.Result["pong"] != true {
		t.Errorf("%+v", r.Result)
	}
}

func TestViolationEndsTheConnection(t *testing.T) {
	c := startPlainAgent(t)
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	for name, bad := range map[string][]byte{
		"unknown type":   encodeFrame(77, 0, 1, nil),
		"stream 0":       encodeFrame(frameRequest, 0, 0, encodeRequest("ping", nil)),
		"stream too big": encodeFrame(frameRequest, 0, maxStream+1, encodeRequest("ping", nil)),
	} {
		c.last = 10
		c.write(bad)
		c.send(frameRequest, 0, 5, encodeRequest("exec", params{"args": []string{"touch", pidFile}}))
		c.sync() // fails on a frame that comes before the answer only if it is none of the answer's bytes
		c.last = 20
		if r := c.call("ping", nil); r.Result["pong"] != true {
			t.Errorf("%s: %+v", name, r.Result)
		}
		if _, err := os.Stat(pidFile); err == nil {
			t.Errorf("%s: a request behind it was served", name)
		}
	}
	// Past the window of standard input.
	stream := c.request("exec", params{"args": []string{"sleep", "1000"}, "stdin": true, "timeout_ms": 2000})
	for i := 0; i < 7; i++ {
		c.send(frameData, 0, stream, make([]byte, maxPayload))
	}
	c.send(frameRequest, 0, 1000, encodeRequest("ping", nil))
	c.sync()
	silence(t, c)
}

func TestTooManyRequests(t *testing.T) {
	c := startPython(t)
	c.eval("import time")
	for i := 0; i < maxOpenRequests; i++ {
		c.request("eval", params{"code": "time.sleep(1000)"})
	}
	c.call("ping", nil).wantError(t, "internal", "too many")
	c.sync()
	silence(t, c)
}

// cpuTime is what the process has used of the processor, in clock ticks.
func cpuTime(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	field := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(field[11])
	system, _ := strconv.Atoi(field[12])
	return user + system
}

func TestNoWorkWhileIdle(t *testing.T) {
	c := startPlainAgent(t)
	c.sh("echo warm")
	measure := func(when string) {
		t.Helper()
		before := cpuTime(t, c.agent.cmd.Process.Pid)
		// The time itself is what is measured over.
		time.Sleep(time.Second)
		if used := cpuTime(t, c.agent.cmd.Process.Pid) - before; used > 3 {
			t.Errorf("%s: %d ticks in a second", when, used)
		}
	}
	measure("connected")
	c.conn.Close()
	measure("after the host has left")
	c = c.agent.connect()
	if r := c.sh("echo back"); string(r.stdout) != "back\n" {
		t.Errorf("%q", r.stdout)
	}
}

func TestAccounts(t *testing.T) {
	passwd := "# comment\nroot:x:0:0::/root:/bin/sh\nbad line\nann:x:1000:1001:Ann,,,:/home/ann:/bin/sh\nnohome:x:7:8:::\n"
	byName := func(want string) func(string, uint32) bool {
		return func(name string, _ uint32) bool { return name == want }
	}
	if a, ok := passwdEntry(passwd, byName("ann")); !ok || a.uid != 1000 || a.gid != 1001 || a.home != "/home/ann" {
		t.Errorf("%+v %v", a, ok)
	}
	if a, ok := passwdEntry(passwd, byName("nohome")); !ok || a.home != "/" {
		t.Errorf("%+v %v", a, ok)
	}
	if _, ok := passwdEntry(passwd, byName("bad line")); ok {
		t.Error("a line that is no entry")
	}
	group := "root:x:0:\nown:x:1001:ann\naudio:x:29:bob,ann\nvideo:x:44:annie\nwheel:x:10:ann\n"
	if got := supplementaryGroups(group, "ann", 1001); len(got) != 2 || got[0] != 29 || got[1] != 10 {
		t.Errorf("%v", got)
	}
	for size, want := range map[string]bool{"50%": true, "256m": true, "1G": true, "4096": true, "": false, "m": false, "5mm": false, "-1": false} {
		if validSize(size) != want {
			t.Errorf("size %q", size)
		}
	}
}
