package main

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// instance is one process of a runtime, from its start to its end.
type instance struct {
	child    *child
	children *reaper
	in       *os.File
	out      *os.File
	stdout   *capture
	stderr   *capture
	tasks    int // descriptor of /proc/PID/task, or -1
	born     time.Time
	ready    chan struct{} // closed when it takes code
	dead     chan struct{} // closed when it is gone, and its runtime knows
	done     chan driverMessage

	writing sync.Mutex

	mu           sync.Mutex
	isReady      bool
	busy         bool // it runs code
	used         bool // it has run code: variables would be lost
	gone         bool
	number       uint32 // of the last eval
	interrupts   uint32 // sent so far
	wantsSeed    bool
	numpy        string
	reseedSignal syscall.Signal
	interruptSig syscall.Signal
}

func startInstance(children *reaper, null int, argv []string, dir string, env []string) (*instance, error) {
	var pipes pipeSet
	defer pipes.closeTheirs()
	var ends [4]end
	for i, open := range []func() (end, error){pipes.output, pipes.output, pipes.input, pipes.output} {
		e, err := open()
		if err != nil {
			pipes.closeOurs()
			return nil, err
		}
		ends[i] = e
	}
	i := &instance{
		children: children, stdout: newCapture(ends[0].ours), stderr: newCapture(ends[1].ours), in: ends[2].ours,
		out: ends[3].ours, born: time.Now(), ready: make(chan struct{}), dead: make(chan struct{}),
		done: make(chan driverMessage, 1),
	}
	attr := &syscall.ProcAttr{
		Dir: dir, Env: env, Sys: &syscall.SysProcAttr{Setsid: true},
		Files: []uintptr{
			uintptr(null), uintptr(ends[0].fd), uintptr(ends[1].fd), uintptr(ends[2].fd), uintptr(ends[3].fd),
		},
	}
	var err error
	if i.child, err = children.start(argv[0], argv, attr, i.onExit); err != nil {
		pipes.closeOurs()
		return nil, err
	}
	// Held open: the number of threads is then one fstat away, without a look-up in /proc.
	i.tasks, err = syscall.Open("/proc/"+idText(uint32(i.child.pid))+"/task", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		i.tasks = -1
	}
	go i.stdout.pump()
	go i.stderr.pump()
	return i, nil
}

// onExit ends the reading: a child of the runtime may hold its pipes open. Children die with it, so that a new one
// finds nothing of the old.
func (i *instance) onExit(pid int) {
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	_ = i.out.SetReadDeadline(time.Unix(1, 0))
}

// serve handles the driver's messages until it is gone, and takes it down if it only fell silent.
func (i *instance) serve() {
	for {
		m, err := readDriverMessage(i.out)
		if err != nil {
			break
		}
		switch m.kind {
		case driverReady:
			i.becomeReady(m)
		case driverDone:
			i.finishEval(m)
		}
	}
	i.kill(syscall.SIGKILL)
	<-i.child.exited
	i.in.Close()
	i.out.Close()
	if i.tasks >= 0 {
		syscall.Close(i.tasks)
	}
}

func (i *instance) kill(signal syscall.Signal) {
	i.children.kill(i.child, signal, signal == syscall.SIGKILL)
}

func (i *instance) becomeReady(m driverMessage) {
	if len(m.fields) != 3 {
		return
	}
	i.stdout.take()
	i.stderr.take()
	reseed, _ := parseID(string(m.fields[1]))
	interrupt, ok := parseID(string(m.fields[2]))
	if !ok {
		interrupt = uint32(syscall.SIGINT)
	}
	i.mu.Lock()
	first := !i.isReady
	i.isReady = true
	i.numpy = string(m.fields[0])
	i.reseedSignal, i.interruptSig = syscall.Signal(reseed), syscall.Signal(interrupt)
	i.mu.Unlock()
	if first {
		close(i.ready)
	}
}

// beginEval makes the message that starts an eval; ok is false when the instance is at its end.
func (i *instance) beginEval(code string, random int) (message []byte, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.gone {
		return nil, false
	}
	i.stdout.begin()
	i.stderr.begin()
	if i.wantsSeed {
		i.wantsSeed = false
		message = seedMessage(message, random)
	}
	i.busy, i.used = true, true
	i.number++
	var interrupts [4]byte
	putUint32(interrupts[:], i.interrupts)
	message = append(driverHead(message, toDriverEval, i.number, len(interrupts)+len(code)), interrupts[:]...)
	return append(message, code...), true
}

// interrupt raises KeyboardInterrupt in the code that runs. The count tells the driver which code a signal was for: it
// may arrive before the code has begun, or after its end.
func (i *instance) interrupt() {
	i.mu.Lock()
	i.interrupts++
	signal := i.interruptSig
	i.mu.Unlock()
	i.kill(signal)
}

func (i *instance) finishEval(m driverMessage) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.busy && m.id == i.number && len(m.fields) == 3 {
		i.busy = false
		i.done <- m
	}
}

// end marks it as gone; it tells whether it ever was ready, and whether variables went that no running eval misses.
func (i *instance) end() (wasReady, idleLoss bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.gone = true
	return i.isReady, i.used && !i.busy
}

// reseed waits with the seed for the next code while nothing could draw random numbers before it: waking the
// interpreter costs milliseconds in a fork. Otherwise it is delivered at once.
func (i *instance) reseed(random int) {
	i.mu.Lock()
	idle := !i.isReady || !i.busy && i.threads() == 1
	i.wantsSeed = i.wantsSeed || idle
	busy, signal := i.busy, i.reseedSignal
	i.mu.Unlock()
	if idle {
		return
	}
	deliver := func() {
		defer i.writing.Unlock()
		if _, err := i.in.Write(seedMessage(nil, random)); err != nil {
			return
		}
		if busy && signal != 0 {
			i.kill(signal)
		}
	}
	// Source text that is being written is short of its reader, which may run other code for long.
	if i.writing.TryLock() {
		deliver()
		return
	}
	go func() {
		i.writing.Lock()
		deliver()
	}()
}

// threads counts the tasks of the process; 0 when that cannot be told.
func (i *instance) threads() int {
	var st syscall.Stat_t
	if i.tasks < 0 || fstat(i.tasks, &st) != nil {
		return 0
	}
	return int(st.Nlink) - 2
}

// send writes a message, or fails at the deadline; the driver is then of no more use.
func (i *instance) send(message []byte, deadline time.Time) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	if len(message) > pipeAtomic {
		_ = i.in.SetWriteDeadline(deadline)
		defer i.in.SetWriteDeadline(time.Time{})
	}
	_, err := i.in.Write(message)
	return err
}
