package main

import (
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// A runtime that ends sooner than this after its start is started again only after a pause, which doubles.
	steadyAfter  = 10 * time.Second
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 10 * time.Second
)

// warmRuntime keeps an interpreter running: when one process of it ends, another is started.
type warmRuntime struct {
	name     string
	argv     []string
	guest    *guest
	children *reaper
	turns    turns

	mu      sync.Mutex
	current *instance
	changed chan struct{} // closed when current or failed changes
	failed  string        // why there is no process, as far as known
	lost    string        // how a process with variables ended while no eval ran
}

func newRuntime(name string, argv []string, g *guest, children *reaper) *warmRuntime {
	r := &warmRuntime{name: name, argv: argv, guest: g, children: children, changed: make(chan struct{})}
	go r.supervise()
	return r
}

func (r *warmRuntime) supervise() {
	backoff := firstBackoff
	env := environList(r.guest.environment(ownAccount(), false, nil))
	for {
		steady := false
		i, err := startInstance(r.children, r.guest.null, r.argv, r.guest.workdir, env)
		if err != nil {
			r.failStart(err.Error())
		} else {
			r.set(i, "")
			i.serve()
			steady = r.bury(i)
			close(i.dead)
		}
		if steady {
			backoff = firstBackoff
			continue
		}
		time.Sleep(backoff)
		if backoff *= 2; backoff > lastBackoff {
			backoff = lastBackoff
		}
	}
}

func (r *warmRuntime) failStart(reason string) {
	warn("runtime " + r.name + " does not start: " + reason)
	r.set(nil, reason)
}

// bury notes how a process ended; it tells whether the next may be started at once.
func (r *warmRuntime) bury(i *instance) (steady bool) {
	wasReady, idleLoss := i.end()
	how := endingOf(i.child.status)
	if !wasReady {
		r.failStart(how + lastWords(i.stderr.take()))
		return false
	}
	warn("runtime " + r.name + " " + how)
	if idleLoss {
		r.mu.Lock()
		r.lost = how
		r.mu.Unlock()
	}
	r.set(nil, "")
	return time.Since(i.born) > steadyAfter
}

func (r *warmRuntime) set(i *instance, failed string) {
	r.mu.Lock()
	r.current, r.failed = i, failed
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
}

func (r *warmRuntime) now() (i *instance, failed string, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current, r.failed, r.changed
}

// takeLoss returns how variables were lost since the last eval, once.
func (r *warmRuntime) takeLoss() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	how := r.lost
	r.lost = ""
	return how
}

// status tells whether it takes code, and the version of numpy in it, if any.
func (r *warmRuntime) status() (ready bool, numpy string) {
	i, _, _ := r.now()
	if i == nil {
		return false, ""
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.isReady, i.numpy
}

func (r *warmRuntime) reseed() {
	if i, _, _ := r.now(); i != nil {
		i.reseed(r.guest.random)
	}
}

func endingOf(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "was ended by " + signalName(status.Signal())
	}
	return "ended with exit code " + string(appendInt(nil, int64(status.ExitStatus())))
}

const maxLastWords = 300

// lastWords is the last line of what a process said.
func lastWords(text []byte) string {
	line := strings.TrimSpace(string(text))
	if at := strings.LastIndexByte(line, '\n'); at >= 0 {
		line = line[at+1:]
	}
	if len(line) > maxLastWords {
		line = line[:maxLastWords]
	}
	if line == "" {
		return ""
	}
	return ": " + line
}
