package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The test binary is the agent too: tests run it as a process of its own, since it reaps all children it has.
const runAsAgent = "FORKD_TEST_RUN_AS_AGENT"

// patience bounds what a test waits for; it is not what anything is expected to take.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(runAsAgent) != "" {
		os.Unsetenv(runAsAgent)
		main()
	}
	os.Exit(m.Run())
}

type agentProcess struct {
	t      *testing.T
	socket string
	cmd    *exec.Cmd
}

// startAgent runs an agent with the image description given.
func startAgent(t *testing.T, image interface{}) *agentProcess {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "image.json")
	text, err := json.Marshal(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	a := &agentProcess{t: t, socket: filepath.Join(dir, "agent.sock")}
	a.cmd = exec.Command(os.Args[0], "-listen", "unix:"+a.socket, "-runtime-config", config)
	a.cmd.Env = append(os.Environ(), runAsAgent+"=1")
	a.cmd.Stderr = os.Stderr
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.cmd.Process.Kill()
		a.cmd.Wait()
	})
	return a
}

func startPlainAgent(t *testing.T) *client {
	t.Helper()
	return startAgent(t, map[string]interface{}{}).connect()
}

func (a *agentProcess) dial() net.Conn {
	a.t.Helper()
	for end := time.Now().Add(patience); ; {
		conn, err := net.Dial("unix", a.socket)
		if err == nil {
			return conn
		}
		if time.Now().After(end) {
			a.t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func (a *agentProcess) connect() *client {
	a.t.Helper()
	c := &client{t: a.t, agent: a, conn: a.dial()}
	a.t.Cleanup(func() { c.conn.Close() })
	c.sync()
	return c
}

// client is a host.
type client struct {
	t     *testing.T
	agent *agentProcess
	conn  net.Conn
	last  uint32
	hello map[string]interface{}
	// manual: WINDOW is not sent back.
	manual bool
}

func (c *client) sync() {
	c.t.Helper()
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	c.write(append(append([]byte(nil), syncMagic[:]...), nonce...))
	want := append(append([]byte(nil), answerMagic[:]...), nonce...)
	var seen []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(seen, want) {
		c.conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.conn.Read(one); err != nil {
			c.t.Fatal("waiting for the answer to SYNC: ", err)
		}
		seen = append(seen, one[0])
	}
	f := c.read()
	if f.kind != frameHello {
		c.t.Fatalf("frame type %d in place of HELLO", f.kind)
	}
	c.hello = nil
	if err := json.Unmarshal(f.payload, &c.hello); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) write(p []byte) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

func encodeFrame(kind, channel byte, stream uint32, payload []byte) []byte {
	b := make([]byte, headerSize, headerSize+len(payload))
	putHeader(b, kind, channel, stream, len(payload))
	return append(b, payload...)
}

func (c *client) send(kind, channel byte, stream uint32, payload []byte) {
	c.t.Helper()
	c.write(encodeFrame(kind, channel, stream, payload))
}

func (c *client) read() frame {
	c.t.Helper()
	f, err := c.tryRead(patience)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func (c *client) tryRead(limit time.Duration) (frame, error) {
	c.conn.SetReadDeadline(time.Now().Add(limit))
	var head [headerSize]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		return frame{}, err
	}
	length := getUint32(head[:])
	if length > maxPayload || head[10] != 0 || head[11] != 0 {
		return frame{}, errors.New("a malformed header")
	}
	f := frame{kind: head[4], channel: head[5], stream: getUint32(head[6:]), payload: make([]byte, length)}
	_, err := io.ReadFull(c.conn, f.payload)
	return f, err
}

type params map[string]interface{}

func encodeRequest(method string, p params) []byte {
	if p == nil {
		p = params{}
	}
	text, err := json.Marshal(map[string]interface{}{"method": method, "params": p})
	if err != nil {
		panic(err)
	}
	return text
}

// request opens a stream.
func (c *client) request(method string, p params) uint32 {
	c.t.Helper()
	c.last++
	text := encodeRequest(method, p)
	for len(text) > maxPayload {
		c.send(framePart, 0, c.last, text[:maxPayload])
		text = text[maxPayload:]
	}
	c.send(frameRequest, 0, c.last, text)
	return c.last
}

// reply is all that came back for a request.
type reply struct {
	Result map[string]interface{}
	Error  *struct{ Code, Message string }
	stdout []byte
	stderr []byte
	parts  int
}

// wait collects the reply of a stream; frames of others must not come.
func (c *client) wait(stream uint32) reply {
	c.t.Helper()
	var r reply
	var message []byte
	for {
		f := c.read()
		if f.stream != stream {
			c.t.Fatalf("a frame of type %d for stream %d while waiting for %d", f.kind, f.stream, stream)
		}
		switch f.kind {
		case frameData:
			if f.channel == channelStdout {
				r.stdout = append(r.stdout, f.payload...)
			} else {
				r.stderr = append(r.stderr, f.payload...)
			}
			if !c.manual {
				c.grant(stream, f.channel, len(f.payload))
			}
		case framePart:
			r.parts++
			message = append(message, f.payload...)
		case frameWindow:
		case frameResponse:
			if err := json.Unmarshal(append(message, f.payload...), &r); err != nil {
				c.t.Fatal(err)
			}
			return r
		default:
			c.t.Fatalf("a frame of type %d", f.kind)
		}
	}
}

func (c *client) grant(stream uint32, channel byte, bytes int) {
	c.t.Helper()
	var p [4]byte
	putUint32(p[:], uint32(bytes))
	c.send(frameWindow, channel, stream, p[:])
}

func (c *client) call(method string, p params) reply {
	c.t.Helper()
	return c.wait(c.request(method, p))
}

// run is an exec that must not be refused.
func (c *client) run(p params) reply {
	c.t.Helper()
	r := c.call("exec", p)
	if r.Error != nil {
		c.t.Fatalf("exec %v: %+v", p["args"], *r.Error)
	}
	return r
}

func (c *client) sh(script string) reply {
	c.t.Helper()
	return c.run(params{"args": []string{"sh", "-c", script}})
}

func (r reply) exitCode() int { return int(r.Result["exit_code"].(float64)) }

func (r reply) wantError(t *testing.T, code, text string) {
	t.Helper()
	if r.Error == nil {
		t.Fatalf("result %v in place of an error %q", r.Result, code)
	}
	if r.Error.Code != code || !strings.Contains(r.Error.Message, text) {
		t.Fatalf("error %+v, want code %q and %q in the message", *r.Error, code, text)
	}
}
