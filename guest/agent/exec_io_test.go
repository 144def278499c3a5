package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func TestExecOutputLimit(t *testing.T) {
	c := startPlainAgent(t)
	r := c.run(params{"args": []string{"sh", "-c", "head -c 100000 /dev/zero; echo x >&2"}, "output_limit": 70_000})
	if len(r.stdout) != 70_000 || string(r.stderr) != "x\n" || r.Result["stdout_truncated"] != true ||
		r.Result["stderr_truncated"] != false {
		t.Errorf("%d bytes, %+v", len(r.stdout), r.Result)
	}
	r = c.run(params{"args": []string{"sh", "-c", "printf abc"}, "output_limit": 3})
	if string(r.stdout) != "abc" || r.Result["stdout_truncated"] != false {
		t.Errorf("%q %+v", r.stdout, r.Result)
	}
	r = c.run(params{"args": []string{"sh", "-c", "printf abc"}, "output_limit": 0})
	if len(r.stdout) != 0 || r.Result["stdout_truncated"] != true {
		t.Errorf("%q %+v", r.stdout, r.Result)
	}
	r = c.sh("head -c 20000000 /dev/zero")
	if len(r.stdout) != maxOutput || r.Result["stdout_truncated"] != true {
		t.Errorf("%d bytes, %+v", len(r.stdout), r.Result)
	}
}

func TestExecSlowReader(t *testing.T) {
	c := startPlainAgent(t)
	c.manual = true
	const size = 1_000_000
	stream := c.request("exec", params{"args": []string{"sh", "-c", "head -c 1000000 /dev/zero; head -c 10 /dev/zero >&2"}})
	received, errors := 0, 0
	for received < windowSize {
		received += len(c.read().payload)
	}
	if received > windowSize {
		t.Fatalf("%d bytes without a window", received)
	}
	// Another request is served meanwhile, and nothing more comes for the first.
	if r := c.call("ping", nil); r.Result["pong"] != true {
		t.Fatalf("%+v", r.Result)
	}
	for received < size {
		c.grant(stream, channelStdout, 10_000)
		for got := 0; got < 10_000 && received < size; {
			f := c.read()
			if f.kind != frameData {
				t.Fatalf("a frame of type %d", f.kind)
			}
			if f.channel == channelStderr {
				// The last of stdout fits the pipe: its writer is past it already.
				errors += len(f.payload)
				continue
			}
			got += len(f.payload)
			received += len(f.payload)
			if got > 10_000 {
				t.Fatalf("%d bytes past the window", got-10_000)
			}
		}
	}
	r := c.wait(stream)
	if received != size || len(r.stdout) != 0 || errors+len(r.stderr) != 10 || r.exitCode() != 0 {
		t.Errorf("%d bytes, %+v", received, r.Result)
	}
}

func TestExecBackgroundHolder(t *testing.T) {
	c := startPlainAgent(t)
	begin := time.Now()
	r := c.sh("(sleep 1000) & echo $!")
	if took := time.Since(begin); took < holderGrace {
		t.Errorf("answered after %v", took)
	}
	pid := parsePID(t, r.stdout)
	if syscall.Kill(pid, 0) != nil {
		t.Error("the process in the background was killed")
	}
	syscall.Kill(pid, syscall.SIGKILL)
	processGone(t, pid) // the agent has reaped what it inherited

	// It may go on writing: nobody listens, but its pipe is read.
	done := filepath.Join(t.TempDir(), "done")
	c.sh("(sleep 0.5; head -c 300000 /dev/zero; echo written > " + done + ") &")
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if text, _ := os.ReadFile(done); string(text) == "written\n" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the writer in the background is stuck, or was killed by SIGPIPE")
		}
	}
	r = c.sh("(while :; do echo y; done) & echo $! >&2")
	pid = parsePID(t, r.stderr)
	syscall.Kill(pid, syscall.SIGKILL)
	processGone(t, pid)
}

func TestExecStandardInput(t *testing.T) {
	c := startPlainAgent(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	stream := c.request("exec", params{"args": []string{"cat"}, "stdin": true})
	credit, sent, received := windowSize, 0, []byte(nil)
	for done := false; !done; {
		for credit > 0 && sent < len(data) {
			n := maxPayload
			for _, limit := range []int{credit, len(data) - sent} {
				if n > limit {
					n = limit
				}
			}
			c.send(frameData, channelStdin, stream, data[sent:sent+n])
			sent, credit = sent+n, credit-n
			if sent == len(data) {
				c.send(frameEnd, channelStdin, stream, nil)
			}
		}
		switch f := c.read(); f.kind {
		case frameData:
			received = append(received, f.payload...)
			c.grant(stream, f.channel, len(f.payload))
		case frameWindow:
			credit += int(getUint32(f.payload))
		case frameResponse:
			done = true
		}
	}
	if !bytes.Equal(received, data) {
		t.Errorf("%d bytes of %d came back", len(received), len(data))
	}
	// A program that does not read: what it gets is dropped and given back, and its end is not missed.
	stream = c.request("exec", params{"args": []string{"sh", "-c", "exec <&-; sleep 0.3"}, "stdin": true})
	for i := 0; i < 4; i++ {
		c.send(frameData, channelStdin, stream, make([]byte, maxPayload))
	}
	for back := 0; back < giveBackAt; {
		f := c.read()
		if f.kind != frameWindow {
			t.Fatalf("a frame of type %d", f.kind)
		}
		back += int(getUint32(f.payload))
	}
	if r := c.wait(stream); r.exitCode() != 0 {
		t.Errorf("%+v", r.Result)
	}
}

func TestExecManyAtATime(t *testing.T) {
	c := startPlainAgent(t)
	c.manual = true
	const count = 60
	codes := map[uint32]int{}
	for i := 0; i < count; i++ {
		codes[c.request("exec", params{"args": []string{"sh", "-c", "echo $0; exit $0", strconv.Itoa(i)}})] = i
	}
	for len(codes) > 0 {
		f := c.read()
		i, open := codes[f.stream]
		if !open {
			t.Fatalf("a frame for stream %d", f.stream)
		}
		switch f.kind {
		case frameData:
			if string(f.payload) != strconv.Itoa(i)+"\n" {
				t.Errorf("%d: %q", i, f.payload)
			}
		case frameResponse:
			if !bytes.Contains(f.payload, []byte(`"exit_code":`+strconv.Itoa(i)+",")) {
				t.Errorf("%d: %s", i, f.payload)
			}
			delete(codes, f.stream)
		}
	}
}
