package main

import (
	"os"
	"sync"
	"syscall"
)

// maxCapture bounds what is kept of each of stdout and stderr of one eval.
const maxCapture = 1 << 20

// capture reads what a runtime writes to stdout or stderr, all the time, and keeps what comes during an eval. The
// runtime is a program like any other: what its libraries and children write is in it, and it never has to wait.
type capture struct {
	file    *os.File
	mu      sync.Mutex
	keep    bool
	kept    []byte
	dropped int
	scratch []byte
}

func newCapture(file *os.File) *capture {
	return &capture{file: file, keep: true, scratch: make([]byte, 4096)}
}

// pump reads until the last writer is gone.
func (c *capture) pump() {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for {
			switch n, err := c.readOnce(int(fd)); {
			case err == syscall.EAGAIN:
				return false
			case n <= 0 && err != syscall.EINTR:
				return true
			}
		}
	})
	c.file.Close()
}

func (c *capture) readOnce(fd int) (int, error) {
	n, err := readRaw(fd, c.scratch)
	if n > 0 && c.keep {
		room := maxCapture - len(c.kept)
		if room > n {
			room = n
		}
		c.kept = append(c.kept, c.scratch[:room]...)
		c.dropped += n - room
	}
	return n, err
}

// begin keeps what comes from here on.
func (c *capture) begin() {
	c.mu.Lock()
	c.kept, c.dropped, c.keep = c.kept[:0], 0, true
	c.mu.Unlock()
}

// take returns what came since begin, what is still in the pipe included, and keeps nothing more.
func (c *capture) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drain()
	text := c.kept
	if c.dropped > 0 {
		text = append(text, "\n[cut: "...)
		text = appendInt(text, int64(c.dropped))
		text = append(text, " more bytes]\n"...)
	}
	c.kept, c.dropped, c.keep = nil, 0, false
	return text
}

// drain reads no more than a pipe holds: the writer may never pause.
func (c *capture) drain() {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		for left := defaultPipeSize; left > 0; {
			n, err := c.readOnce(int(fd))
			if err == syscall.EINTR {
				continue
			}
			if n <= 0 {
				return
			}
			left -= n
		}
	})
}
