package main

import (
	"sync"
	"sync/atomic"
)

// frameWriter is the only one that writes to the channel. Whoever has something to send writes it himself, one at a
// time: a goroutine of its own would cost a switch per frame.
type frameWriter struct {
	port  transport
	epoch uint32 // atomic: the connection's number; frames of an earlier one are dropped
	mu    sync.Mutex
	buf   []byte
	// held: the reading goroutine is handling what it read at once, and its frames go out together.
	held bool
}

// hold makes frames wait for flush; frames past what the buffer holds go out at once.
func (w *frameWriter) hold() {
	w.mu.Lock()
	w.held = true
	w.mu.Unlock()
}

func (w *frameWriter) flush() {
	w.mu.Lock()
	w.held = false
	w.writeOut()
	w.mu.Unlock()
}

func (w *frameWriter) writeOut() {
	if len(w.buf) > 0 {
		w.port.write(w.buf)
		w.buf = w.buf[:0]
	}
}

// add puts one frame into the buffer; the lock is held.
func (w *frameWriter) add(kind, channel byte, stream uint32, payload []byte) {
	if len(w.buf)+headerSize+len(payload) > cap(w.buf) {
		w.writeOut()
	}
	at := len(w.buf)
	w.buf = w.buf[:at+headerSize]
	putHeader(w.buf[at:], kind, channel, stream, len(payload))
	w.buf = append(w.buf, payload...)
}

// newEpoch cuts off all earlier connections; it waits for nothing.
func (w *frameWriter) newEpoch() uint32 { return atomic.AddUint32(&w.epoch, 1) }

// send writes one frame, unless its connection is over.
func (w *frameWriter) send(epoch uint32, kind, channel byte, stream uint32, payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if atomic.LoadUint32(&w.epoch) != epoch {
		return
	}
	w.add(kind, channel, stream, payload)
	if !w.held {
		w.writeOut()
	}
}

// sendMessage writes JSON of any size: PART frames, then the frame that ends it.
func (w *frameWriter) sendMessage(epoch uint32, kind byte, stream uint32, message []byte) {
	for len(message) > maxPayload {
		w.send(epoch, framePart, 0, stream, message[:maxPayload])
		message = message[maxPayload:]
	}
	w.send(epoch, kind, 0, stream, message)
}

// answerSync writes the answer to SYNC and HELLO, after the frame that is being written.
func (w *frameWriter) answerSync(nonce, hello []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf[:0], answerMagic[:]...)
	w.buf = append(w.buf, nonce...)
	w.add(frameHello, 0, 0, hello)
	if !w.held {
		w.writeOut()
	}
}
