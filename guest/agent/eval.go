package main

import (
	"syscall"
	"time"
)

const (
	defaultEvalMS = 30_000
	// interruptGrace is how long interrupted code may take to end before its runtime is killed.
	interruptGrace = time.Second
	defaultRuntime = "python"
)

// outcome of one eval; nil is null.
type outcome struct {
	result, err, traceback []byte
	stdout, stderr         []byte
}

func (s *server) startEval(st *stream, params []byte) {
	var code, name string
	hasCode, limitMS := false, int64(defaultEvalMS)
	f := readParams(params, func(r *jsonReader, key string) bool {
		switch key {
		case "code":
			code, hasCode = r.string(), true
		case "timeout_ms":
			limitMS = r.natural()
		case "runtime":
			name = r.string()
		default:
			return false
		}
		return true
	})
	if f == nil && !hasCode {
		f = invalid("code is missing")
	}
	if f != nil {
		s.fail(st, *f)
		return
	}
	r, f := s.runtime(name)
	if f != nil {
		s.fail(st, *f)
		return
	}
	if limitMS > maxTimeoutMS {
		limitMS = maxTimeoutMS
	}
	limit := time.Duration(limitMS) * time.Millisecond
	// Taken here, so that evals run in the order of their requests.
	turn := r.turns.enter()
	s.handOver(st)
	go func() {
		e := &evaluation{runtime: r, code: code, limit: limit, turn: turn, cancelled: st.cancelled}
		e.deadline = time.Now().Add(limit)
		timer := time.NewTimer(limit)
		defer timer.Stop()
		e.expired = timer.C
		o, cancelled := e.run()
		if cancelled {
			s.fail(st, cancelledFailure())
			return
		}
		s.respond(st, o.json())
	}()
}

// runtime finds the one asked for: python where none is named, or the only one there is.
func (s *server) runtime(name string) (*warmRuntime, *failure) {
	if len(s.runtimes) == 0 {
		return nil, &failure{"not_found", "this image keeps no runtime; use exec"}
	}
	if name == "" {
		if name = defaultRuntime; len(s.runtimes) == 1 {
			return s.runtimes[0], nil
		}
	}
	for _, r := range s.runtimes {
		if r.name == name {
			return r, nil
		}
	}
	return nil, &failure{"not_found", "this image keeps no runtime " + quote(name)}
}

// evaluation is one eval: it waits for its turn and for the runtime, runs the code, and sees to its end.
type evaluation struct {
	runtime   *warmRuntime
	code      string
	limit     time.Duration
	deadline  time.Time
	expired   <-chan time.Time
	turn      chan struct{}
	cancelled <-chan struct{}
}

func (e *evaluation) run() (o outcome, cancelled bool) {
	r := e.runtime
	defer r.turns.leave(e.turn)
	select {
	case <-e.turn:
	case <-e.expired:
		return e.timeout("another eval was still running, and this one did not begin"), false
	case <-e.cancelled:
		return o, true
	}
	for {
		if how := r.takeLoss(); how != "" {
			return e.died(how+" since the last eval", "; this code did not run"), false
		}
		i, failed, changed := r.now()
		if failed != "" {
			return outcome{err: []byte("RuntimeDied: the " + r.name + " runtime does not start: " + failed)}, false
		}
		var ready <-chan struct{}
		if i != nil {
			ready = i.ready
		}
		select {
		case <-ready:
			if message, ok := i.beginEval(e.code, r.guest.random); ok {
				return e.runIn(i, message)
			}
			<-i.dead
		case <-changed:
		case <-e.expired:
			return e.timeout("the " + r.name + " runtime was not ready, and the code did not begin"), false
		case <-e.cancelled:
			return o, true
		}
	}
}

func (e *evaluation) runIn(i *instance, message []byte) (o outcome, cancelled bool) {
	if err := i.send(message, e.deadline.Add(interruptGrace)); err != nil {
		i.kill(syscall.SIGKILL)
	}
	interrupted, killed := false, false
	stop, expired := e.cancelled, e.expired
	var grace <-chan time.Time
	for {
		select {
		case m := <-i.done:
			o = outcome{result: m.fields[0], err: m.fields[1], traceback: m.fields[2]}
			o.stdout, o.stderr = i.stdout.take(), i.stderr.take()
			if interrupted && !cancelled {
				o.result, o.err = nil, e.timeout("the code was interrupted").err
			}
			return o, cancelled
		case <-i.dead:
			how := endingOf(i.child.status)
			o = e.died(how, "")
			if interrupted {
				o = e.timeout("the code did not react to an interrupt, so the " + e.runtime.name +
					" runtime was ended; its variables are lost; it was restarted")
			}
			o.stdout, o.stderr = i.stdout.take(), i.stderr.take()
			return o, cancelled
		case <-expired:
		case <-stop:
			cancelled = true
		case <-grace:
			if !killed {
				killed = true
				i.kill(syscall.SIGKILL)
			}
			continue
		}
		// The time is up, or the host has given up.
		stop, expired = nil, nil
		interrupted = true
		i.interrupt()
		grace = time.After(interruptGrace)
	}
}

func (e *evaluation) timeout(what string) outcome {
	ms := appendInt(nil, e.limit.Milliseconds())
	return outcome{err: []byte("TimeoutError: the time limit of " + string(ms) + " ms was reached: " + what)}
}

func (e *evaluation) died(how, more string) outcome {
	return outcome{err: []byte("RuntimeDied: the " + e.runtime.name + " runtime " + how +
		"; its variables are lost; it was restarted" + more)}
}

func (o outcome) json() []byte {
	b := make([]byte, 0, 128+len(o.result)+len(o.err)+len(o.traceback)+len(o.stdout)+len(o.stderr))
	b = append(b, `{"result":`...)
	b = appendJSONOrNull(b, o.result)
	b = append(b, `,"error":`...)
	b = appendJSONOrNull(b, o.err)
	if o.traceback != nil {
		b = append(b, `,"traceback":`...)
		b = appendJSONString(b, o.traceback)
	}
	b = append(b, `,"stdout":`...)
	b = appendJSONString(b, o.stdout)
	b = append(b, `,"stderr":`...)
	b = appendJSONString(b, o.stderr)
	if o.err != nil {
		return append(b, `,"exit_code":1}`...)
	}
	return append(b, `,"exit_code":0}`...)
}

func appendJSONOrNull(b, text []byte) []byte {
	if text == nil {
		return append(b, "null"...)
	}
	return appendJSONString(b, text)
}
