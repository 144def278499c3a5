package main

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer leaves room for the header: a virtio-serial port takes 32 KiB in one write.
const pipeBuffer = 32*1024 - headerSize

var pipeBuffers = sync.Pool{New: func() interface{} { b := make([]byte, pipeBuffer); return &b }}

// output carries what a program writes to one channel of its stream.
type output struct {
	file    *os.File
	stream  *stream
	channel byte
	left    int // bytes that may still be sent
	// done is closed when all output was sent; truncated is valid from then on.
	done      chan struct{}
	truncated bool
	finished  bool
}

func newOutput(file *os.File, st *stream, channel byte, limit int) *output {
	return &output{file: file, stream: st, channel: channel, left: limit, done: make(chan struct{})}
}

// finish ends the waiting for more; what the pipe holds is still sent.
func (o *output) finish() { _ = o.file.SetReadDeadline(time.Unix(1, 0)) }

func (o *output) pump() {
	buffer := pipeBuffers.Get().(*[]byte)
	buf := *buffer
	for {
		n, err := o.file.Read(buf)
		o.forward(buf[:n])
		if err == nil {
			continue
		}
		if !o.finished && errors.Is(err, os.ErrDeadlineExceeded) {
			o.drain(buf)
			o.end()
			// A process in the background would die of SIGPIPE if nobody read on.
			_ = o.file.SetReadDeadline(time.Time{})
			continue
		}
		break
	}
	o.end()
	o.file.Close()
	pipeBuffers.Put(buffer)
}

func (o *output) end() {
	if !o.finished {
		o.finished = true
		close(o.done)
	}
}

// drain sends what is in the pipe now, and no more than a pipe holds: the writer may never pause.
func (o *output) drain(buf []byte) {
	for left := pipeCapacity(o.file); left > 0; {
		n, err := readNow(o.file, buf)
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		o.forward(buf[:n])
		left -= n
	}
}

func (o *output) forward(p []byte) {
	if o.finished || len(p) == 0 {
		return
	}
	if len(p) > o.left {
		o.truncated = true
		p = p[:o.left]
	}
	o.left -= len(p)
	o.stream.sendData(o.channel, p)
}
