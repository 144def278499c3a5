package main

import (
	"os"
	"syscall"
	"time"
)

// holderGrace is how long a process in the background that holds the output open is waited for.
const holderGrace = 200 * time.Millisecond

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
	if p.terminal == nil {
		f = x.start(c)
	} else {
		f = x.startInTerminal(c, *p.terminal)
	}
	if f != nil {
		s.fail(st, *f)
		return
	}
	st.program = x
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
	stderr *output // nil in a terminal
	// terminal is the host's end of the program's terminal, or nil; terminalHeld is the other one. While that is open, a
	// program that closes its own does not look like one that has ended.
	terminal     *os.File
	terminalHeld int
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

// outputs are the channels the program has.
func (x *execution) outputs() []*output {
	if x.stderr == nil {
		return []*output{x.stdout}
	}
	return []*output{x.stdout, x.stderr}
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
	for _, o := range x.outputs() {
		go o.pump()
	}
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
	if x.terminal != nil {
		syscall.Close(x.terminalHeld)
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

func (x *execution) kill() {
	if x.terminal != nil {
		x.signalForeground(syscall.SIGKILL)
	}
	x.server.children.kill(x.child, syscall.SIGKILL, true)
}

// signal is the host's: to what is in the foreground of the terminal, else to the program's group, as a terminal would.
func (x *execution) signal(signal syscall.Signal) {
	if x.terminal != nil && x.signalForeground(signal) {
		return
	}
	x.server.children.kill(x.child, signal, true)
}

// settleOutput waits until all output was sent. What a process in the background writes after the grace is not waited for.
func (x *execution) settleOutput() {
	grace := time.NewTimer(holderGrace)
	defer grace.Stop()
	outputs := x.outputs()
	for _, o := range outputs {
		select {
		case <-o.done:
		case <-grace.C:
			for _, o := range outputs {
				o.finish()
			}
			for _, o := range outputs {
				<-o.done
			}
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
	b = appendBool(b, x.stderr != nil && x.stderr.truncated)
	return append(b, '}')
}

// giveBackAt is the standard input consumed before the host is told: a quarter of the window keeps it from waiting.
const giveBackAt = windowSize / 4

// feed writes standard input. What a program that closed it does not take is dropped, and given back all the same.
func (x *execution) feed() {
	taken, broken, newLine := 0, false, true
	for {
		piece, ok := x.queue.take()
		if !ok {
			break
		}
		if !broken {
			_, err := x.input.Write(piece)
			broken = err != nil
			newLine = piece[len(piece)-1] == '\n'
		}
		if taken += len(piece); taken >= giveBackAt {
			x.queue.consumed(taken)
			x.stream.giveBack(taken)
			taken = 0
		}
	}
	if x.terminal != nil && !broken && !x.stream.isDetached() {
		typeEnd(x.input, newLine)
	}
	x.input.Close()
}
