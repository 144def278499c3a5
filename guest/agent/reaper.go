package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"
)

// child is a process the agent started itself.
type child struct {
	pid int
	// exited is closed when the process has been reaped; status is valid from then on.
	exited chan struct{}
	status syscall.WaitStatus
	reaped bool
	// onExit runs while the process is a zombie: its pid and process group cannot have been given to another.
	onExit func(pid int)
}

// reaper waits for all children, the orphans PID 1 inherits included, and hands out the statuses of those it started.
type reaper struct {
	mu       sync.Mutex
	children map[int]*child
}

func newReaper() *reaper {
	r := &reaper{children: map[int]*child{}}
	// A thread that waits in the kernel would be simpler; it would also keep Go's only processor until the monitor, which
	// calmScheduler has made slow, takes it away.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go r.run(ended)
	return r
}

// start runs a program in a new session. The lock is held over the fork, so that its end is not handled before it is
// known.
func (r *reaper) start(path string, argv []string, attr *syscall.ProcAttr, onExit func(pid int)) (*child, error) {
	c := &child{exited: make(chan struct{}), onExit: onExit}
	r.mu.Lock()
	pid, err := forkExec(path, argv, attr)
	if err == nil {
		c.pid = pid
		r.children[pid] = c
	}
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// kill signals a child that was not reaped yet; the whole group when group is set.
func (r *reaper) kill(c *child, sig syscall.Signal, group bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.reaped {
		return
	}
	pid := c.pid
	if group {
		pid = -pid
	}
	// ESRCH: it has ended already.
	_ = syscall.Kill(pid, sig)
}

// signalGroup signals a group of the session a child leads, while that child was not reaped: as long as it leads the
// session, its terminal names no group of another. False when there is no such group.
func (r *reaper) signalGroup(leader *child, group int, sig syscall.Signal) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !leader.reaped && syscall.Kill(-group, sig) == nil
}

// run reaps all that have ended whenever any has: signals that come close together are one.
func (r *reaper) run(ended <-chan os.Signal) {
	for range ended {
		for {
			pid, err := endedChild()
			if err == syscall.EINTR {
				continue
			}
			if err != nil || pid == 0 {
				break
			}
			r.reap(pid)
		}
	}
}

func (r *reaper) reap(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.children[pid]
	if c != nil && c.onExit != nil {
		c.onExit(pid)
	}
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); err != syscall.EINTR {
			break
		}
	}
	if c != nil {
		delete(r.children, pid)
		c.status, c.reaped = status, true
		close(c.exited)
	}
}

const (
	pAll    = 0
	wNohang = 1
	wExited = 4
	wNowait = 0x1000000
)

// endedChild returns a child that has ended and leaves it a zombie; 0 when there is none.
func endedChild() (int, error) {
	var info [32]int32 // siginfo_t: 128 bytes; the pid follows three ints and, on 64-bit machines, padding
	_, _, errno := syscall.RawSyscall6(syscall.SYS_WAITID, pAll, 0, uintptr(unsafe.Pointer(&info[0])),
		wExited|wNowait|wNohang, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(info[4]), nil
}

const prSetChildSubreaper = 36

// adoptOrphans makes an agent that is not PID 1 inherit orphans as PID 1 does.
func adoptOrphans() error {
	_, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
	if errno != 0 {
		return os.NewSyscallError("prctl", errno)
	}
	return nil
}
