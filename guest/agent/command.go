package main

import (
	"strings"
	"syscall"
)

const (
	maxOutput = 16 << 20
	// noLimit is more output than any program writes.
	noLimit = 1<<63 - 1
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
	// stream: the host takes the output as it comes, so nothing limits how much it is in all.
	stream bool
	// terminal is the size of the terminal the program gets, or nil.
	terminal *terminalSize
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
	case "stream":
		p.stream = r.bool()
	case "terminal":
		p.terminal = readTerminalSize(r)
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
	owner *account
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
	if p.stream {
		c.limit = noLimit
	} else if p.outputLimit < maxOutput {
		c.limit = int(p.outputLimit)
	}
	user := ownAccount()
	if p.user != "" {
		var f *failure
		if user, f = findAccount(p.user); f != nil {
			return nil, f
		}
	}
	c.owner = user
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
