package main

import (
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	maxOutput = 16 << 20
	// holderGrace is how long a process in the background that holds the output open is waited for.
	holderGrace = 200 * time.Millisecond
	// maxTimeoutMS keeps a time limit within what a timer holds: 31 years.
	maxTimeoutMS = 1e12
)

type execParams struct {
	args        []string
	env         map[string]string
	cwd         string
	user        string
	timeoutMS   int64 // -1 for no limit
	stdin       bool
	outputLimit int64
}

func (p *execParams) read(r *jsonReader, key string) bool {
	switch key {
	case "args":
		r.array(func() { p.args = append(p.args, r.string()) })
	case "env":
		p.env = map[string]string{}
		r.object(func(name string) { p.env[name] = r.string() })
	case "cwd":
		p.cwd = r.string()
	case "user":
		p.user = r.string()
	case "timeout_ms":
		p.timeoutMS = r.natural()
	case "stdin":
		p.stdin = r.bool()
	case "output_limit":
		p.outputLimit = r.natural()
	default:
		return false
	}
	return true
}

// command is an exec whose params are checked.
type command struct {
	path  string
	args  []string
	attr  syscall.ProcAttr
	limit int // bytes of each output channel
}

func (g *guest) command(p *execParams) (*command, *failure) {
	if len(p.args) == 0 || p.args[0] == "" {
		return nil, invalid("args must begin with the name of a program")
	}
	for _, arg := range p.args {
		if strings.IndexByte(arg, 0) >= 0 {
			return nil, invalid("an argument has a zero byte")
		}
	}
	for name, value := range p.env {
		if !validEnv(name, value) {
			return nil, invalid("the environment variable " + quote(name) + " is not valid")
		}
	}
	c := &command{args: p.args, limit: maxOutput}
	if p.outputLimit < maxOutput {
		c.limit = int(p.outputLimit)
	}
	user := ownAccount()
	if p.user != "" {
		var f *failure
		if user, f = findAccount(p.user); f != nil {
			return nil, f
		}
	}
	cwd := p.cwd
	if cwd == "" {
		cwd = g.workdir
	}
	if strings.IndexByte(cwd, 0) >= 0 || cwd[0] != '/' {
		return nil, invalid("cwd must be an absolute path")
	}
	if !directory(cwd) {
		return nil, invalid("cwd " + quote(cwd) + " is not a directory")
	}
	env := g.environment(user, p.user != "", p.env)
	var f *failure
	if c.path, f = findProgram(p.args[0], env["PATH"], cwd); f != nil {
		return nil, f
	}
	sys := &syscall.SysProcAttr{Setsid: true}
	if p.user != "" {
		sys.Credential = user.credential()
	}
	c.attr = syscall.ProcAttr{Dir: cwd, Env: environList(env), Sys: sys}
	return c, nil
}

// startExec is called on the reading goroutine: standard input that follows finds its queue.
func (s *server) startExec(st *stream, params []byte) {
	p := execParams{timeoutMS: -1, outputLimit: maxOutput}
	if f := readParams(params, p.read); f != nil {
		s.fail(st, *f)
		return
	}
	c, f := s.guest.command(&p)
	if f != nil {
		s.fail(st, *f)
		return
	}
	x := &execution{server: s, stream: st}
	if p.stdin {
		x.queue = st.openInput()
	}
	if f := x.start(c); f != nil {
		s.fail(st, *f)
		return
	}
	s.handOver(st)
	go x.run(p.timeoutMS)
}

// execution is one program that runs for a request.
type execution struct {
	server *server
	stream *stream
	child  *child
	queue  *inputQueue
	input  *os.File
	stdout *output
	stderr *output
}

func (x *execution) start(c *command) *failure {
	var pipes pipeSet
	defer pipes.closeTheirs()
	stdout, err := pipes.output()
	if err != nil {
		return &failure{"internal", err.Error()}
	}
	stderr, err := pipes.output()
	if err != nil {
		pipes.closeOurs()
		return &failure{"internal", err.Error()}
	}
	stdin := end{fd: x.server.guest.null}
	if x.queue != nil {
		if stdin, err = pipes.input(); err != nil {
			pipes.closeOurs()
			return &failure{"internal", err.Error()}
		}
		x.input = stdin.ours
	}
	c.attr.Files = []uintptr{uintptr(stdin.fd), uintptr(stdout.fd), uintptr(stderr.fd)}
	x.child, err = x.server.children.start(c.path, c.args, &c.attr, nil)
	if err != nil {
		pipes.closeOurs()
		return startFailure(c.args[0], err)
	}
	x.stdout = newOutput(stdout.ours, x.stream, channelStdout, c.limit)
	x.stderr = newOutput(stderr.ours, x.stream, channelStderr, c.limit)
	return nil
}

func startFailure(program string, err error) *failure {
	code := "invalid"
	switch err {
	case syscall.ENOENT:
		// The program is there, or was: it is a script, and its interpreter is not.
		return &failure{"not_found", "exec: " + quote(program) + ": its interpreter was not found"}
	case syscall.EAGAIN, syscall.ENOMEM, syscall.ENFILE, syscall.EMFILE:
		code = "internal"
	}
	return &failure{code, "exec: " + quote(program) + ": " + err.Error()}
}

// run waits for the program's end, which the time limit or the host may bring about, and answers.
func (x *execution) run(timeoutMS int64) {
	go x.stdout.pump()
	go x.stderr.pump()
	if x.queue != nil {
		go x.feed()
	}
	var timer *time.Timer
	var expired <-chan time.Time
	if timeoutMS >= 0 && timeoutMS < maxTimeoutMS {
		timer = time.NewTimer(time.Duration(timeoutMS) * time.Millisecond)
		expired = timer.C
	}
	timedOut, cancelled := false, false
	stop := x.stream.cancelled
	for running := true; running; {
		select {
		case <-x.child.exited:
			running = false
		case <-expired:
			timedOut = true
			expired = nil
			x.kill()
		case <-stop:
			cancelled = true
			stop = nil
			x.kill()
		}
	}
	if timer != nil {
		timer.Stop()
	}
	if x.queue != nil {
		x.queue.close()
		x.input.Close()
	}
	x.settleOutput()
	if !cancelled {
		select {
		case <-x.stream.cancelled:
			cancelled = true
		default:
		}
	}
	if cancelled {
		x.server.fail(x.stream, cancelledFailure())
		return
	}
	x.server.respond(x.stream, x.result(timedOut))
}

func (x *execution) kill() { x.server.children.kill(x.child, syscall.SIGKILL, true) }

// settleOutput waits until all output was sent. What a process in the background writes after the grace is not waited for.
func (x *execution) settleOutput() {
	grace := time.NewTimer(holderGrace)
	defer grace.Stop()
	for _, o := range []*output{x.stdout, x.stderr} {
		select {
		case <-o.done:
		case <-grace.C:
			x.stdout.finish()
			x.stderr.finish()
			<-x.stdout.done
			<-x.stderr.done
			return
		}
	}
}

func (x *execution) result(timedOut bool) []byte {
	b := append(make([]byte, 0, 160), `{"exit_code":`...)
	if status := x.child.status; status.Signaled() {
		b = appendInt(b, -int64(status.Signal()))
		b = append(b, `,"signal":"`...)
		b = append(b, signalName(status.Signal())...)
		b = append(b, '"')
	} else {
		b = appendInt(b, int64(status.ExitStatus()))
	}
	b = append(b, `,"timed_out":`...)
	b = appendBool(b, timedOut)
	b = append(b, `,"stdout_truncated":`...)
	b = appendBool(b, x.stdout.truncated)
	b = append(b, `,"stderr_truncated":`...)
	b = appendBool(b, x.stderr.truncated)
	return append(b, '}')
}

// giveBackAt is the standard input consumed before the host is told: a quarter of the window keeps it from waiting.
const giveBackAt = windowSize / 4

// feed writes standard input. What a program that closed it does not take is dropped, and given back all the same.
func (x *execution) feed() {
	taken, broken := 0, false
	for {
		piece, ok := x.queue.take()
		if !ok {
			break
		}
		if !broken {
			_, err := x.input.Write(piece)
			broken = err != nil
		}
		if taken += len(piece); taken >= giveBackAt {
			x.queue.consumed(taken)
			x.stream.giveBack(taken)
			taken = 0
		}
	}
	x.input.Close()
}
