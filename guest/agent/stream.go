package main

import (
	"sync"
	"syscall"
)

// stream is one open request of a connection.
type stream struct {
	id    uint32
	epoch uint32
	out   *frameWriter
	// cancelled is closed when the host abandons the request.
	cancelled chan struct{}
	// inline: the request is still in the hands of the reading goroutine.
	inline bool
	// program runs for the request; the reading goroutine's own.
	program *execution

	mu       sync.Mutex
	changed  *sync.Cond // credit came, or nothing needs credit any more
	credit   [3]int     // DATA bytes the host takes, by channel
	muted    bool       // output is dropped: detached or cancelled
	stopped  bool       // cancelled was closed
	input    *inputQueue
	detached bool
}

func newStream(id, epoch uint32, out *frameWriter) *stream {
	s := &stream{id: id, epoch: epoch, out: out, cancelled: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	s.credit[channelStdout], s.credit[channelStderr] = windowSize, windowSize
	return s
}

// cancel tells the method to give up.
func (s *stream) cancel() {
	s.mu.Lock()
	if !s.stopped {
		s.stopped, s.muted = true, true
		close(s.cancelled)
		s.changed.Broadcast()
	}
	s.mu.Unlock()
}

const maxSignal = 64

// signal hands a signal to the program; false for a number that is none. A request without a program hears nothing.
func (s *stream) signal(number uint32) bool {
	if number == 0 || number > maxSignal {
		return false
	}
	if s.program != nil {
		s.program.signal(syscall.Signal(number))
	}
	return true
}

// detach lets the method go on with nobody listening; its standard input ends.
func (s *stream) detach() {
	s.mu.Lock()
	s.muted, s.detached = true, true
	input := s.input
	s.changed.Broadcast()
	s.mu.Unlock()
	if input != nil {
		input.end()
	}
}

func (s *stream) isDetached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.detached
}

// grant takes credit the host gave back.
func (s *stream) grant(channel byte, bytes uint32) {
	s.mu.Lock()
	if room := windowSize - s.credit[channel]; uint64(bytes) < uint64(room) {
		s.credit[channel] += int(bytes)
	} else {
		s.credit[channel] = windowSize
	}
	s.changed.Broadcast()
	s.mu.Unlock()
}

// sendData sends p as the host's window allows, and waits for it; once nobody listens it drops p and returns at once.
func (s *stream) sendData(channel byte, p []byte) {
	for len(p) > 0 {
		s.mu.Lock()
		for s.credit[channel] == 0 && !s.muted {
			s.changed.Wait()
		}
		if s.muted {
			s.mu.Unlock()
			return
		}
		n := s.credit[channel]
		if n > len(p) {
			n = len(p)
		}
		if n > maxPayload {
			n = maxPayload
		}
		s.credit[channel] -= n
		s.mu.Unlock()
		s.out.send(s.epoch, frameData, channel, s.id, p[:n])
		p = p[n:]
	}
}

// giveBack lets the host send more standard input.
func (s *stream) giveBack(bytes int) {
	var p [4]byte
	putUint32(p[:], uint32(bytes))
	s.out.send(s.epoch, frameWindow, channelStdin, s.id, p[:])
}

// openInput makes the stream take DATA; to be called before the next frame is handled.
func (s *stream) openInput() *inputQueue {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.input = newInputQueue()
	return s.input
}

func (s *stream) inputQueue() *inputQueue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.input
}

// inputQueue holds standard input between the channel and the program, at most a window of it.
type inputQueue struct {
	mu      sync.Mutex
	changed *sync.Cond
	pieces  [][]byte
	size    int // bytes that were not given back yet
	ended   bool
	closed  bool
}

func newInputQueue() *inputQueue {
	q := &inputQueue{}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// put returns false when the host went past its window, or past END.
func (q *inputQueue) put(p []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended || q.size+len(p) > windowSize {
		return false
	}
	if len(p) > 0 {
		q.size += len(p)
		q.pieces = append(q.pieces, p)
		q.changed.Signal()
	}
	return true
}

func (q *inputQueue) end() {
	q.mu.Lock()
	q.ended = true
	q.changed.Signal()
	q.mu.Unlock()
}

// close ends the waiting of take: the program is gone.
func (q *inputQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.pieces = nil
	q.changed.Signal()
	q.mu.Unlock()
}

// take waits for the next piece; ok is false at the end.
func (q *inputQueue) take() (p []byte, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.pieces) == 0 {
		if q.ended || q.closed {
			return nil, false
		}
		q.changed.Wait()
	}
	p = q.pieces[0]
	q.pieces = q.pieces[1:]
	return p, true
}

// consumed counts bytes that are to be given back, before the host is told.
func (q *inputQueue) consumed(bytes int) {
	q.mu.Lock()
	q.size -= bytes
	q.mu.Unlock()
}
