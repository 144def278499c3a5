package main

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// transport is the byte channel to the host. It outlives hosts: one goes, another comes.
type transport interface {
	// read waits for bytes. It returns 0 once when a host has gone, and waits for the next one when called again.
	read(p []byte) (int, error)
	// write writes all of p, or gives up on a channel that cannot take it; only one goroutine writes at a time.
	write(p []byte)
}

// portTransport is a virtio-serial port. While no host is connected its read returns 0 and its poll POLLHUP at once;
// Go's poller is edge-triggered, so waiting costs nothing and the host's connecting is an edge.
type portTransport struct {
	file *os.File
	raw  syscall.RawConn
	gone bool
}

func openPort(path string) (*portTransport, error) {
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &portTransport{file: file, raw: raw}, nil
}

func (t *portTransport) read(p []byte) (n int, err error) {
	wait := t.raw.Read(func(fd uintptr) bool {
		for {
			n, err = readRaw(int(fd), p)
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				return false
			case err == nil && n == 0:
				first := !t.gone
				t.gone = true
				return first
			}
			t.gone = false
			return true
		}
	})
	if wait != nil {
		return 0, wait
	}
	if n < 0 {
		n = 0
	}
	return n, err
}

func (t *portTransport) write(p []byte) {
	// An error means the port was taken away, which read reports.
	_ = t.raw.Write(func(fd uintptr) bool {
		for len(p) > 0 {
			n, err := writeRaw(int(fd), p)
			if err == syscall.EINTR {
				continue
			}
			if err == syscall.EAGAIN {
				return false
			}
			if err != nil {
				return true
			}
			p = p[n:]
		}
		return true
	})
}

// socketTransport listens on a unix socket and serves one connection at a time; a new one replaces the old.
type socketTransport struct {
	listener *os.File
	mu       sync.Mutex
	arrived  *sync.Cond
	current  *os.File
	served   *os.File // the connection read last returned bytes of
}

func listenUnix(path string) (*socketTransport, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		return nil, &os.PathError{Op: "bind", Path: path, Err: err}
	}
	if err := syscall.Listen(fd, 16); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	t := &socketTransport{listener: os.NewFile(uintptr(fd), path)}
	t.arrived = sync.NewCond(&t.mu)
	go t.accept()
	return t, nil
}

func (t *socketTransport) accept() {
	raw, err := t.listener.SyscallConn()
	for err == nil {
		var fd int
		var failed error
		err = raw.Read(func(listener uintptr) bool {
			fd, _, failed = syscall.Accept4(int(listener), syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK)
			return failed != syscall.EAGAIN
		})
		if err != nil || failed != nil {
			continue
		}
		t.replace(os.NewFile(uintptr(fd), "host"))
	}
	fatal("the listening socket failed: " + err.Error())
}

func (t *socketTransport) replace(conn *os.File) {
	t.mu.Lock()
	if t.current != nil {
		t.current.Close()
	}
	t.current = conn
	t.arrived.Broadcast()
	t.mu.Unlock()
}

func (t *socketTransport) read(p []byte) (int, error) {
	t.mu.Lock()
	for t.current == nil {
		t.arrived.Wait()
	}
	conn := t.current
	changed := t.served != nil && t.served != conn
	t.served = conn
	t.mu.Unlock()
	if changed {
		return 0, nil
	}
	n, err := conn.Read(p)
	if n > 0 {
		return n, nil
	}
	if err == nil || errors.Is(err, syscall.EINTR) {
		return 0, nil
	}
	t.mu.Lock()
	if t.current == conn {
		t.current = nil
		conn.Close()
	}
	t.served = nil
	t.mu.Unlock()
	return 0, nil
}

func (t *socketTransport) write(p []byte) {
	t.mu.Lock()
	conn := t.current
	t.mu.Unlock()
	if conn == nil {
		return
	}
	// A connection that fails here fails in read too, or was replaced.
	_, _ = conn.Write(p)
}
