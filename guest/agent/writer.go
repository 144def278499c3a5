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
	w.buf = w.buf[:headerSize]
	putHeader(w.buf, kind, channel, stream, len(payload))
	w.buf = append(w.buf, payload...)
	w.port.write(w.buf)
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
	b := append(w.buf[:0], answerMagic[:]...)
	b = append(b, nonce...)
	at := len(b)
	b = append(b, make([]byte, headerSize)...)
	putHeader(b[at:], frameHello, 0, 0, len(hello))
	w.buf = append(b, hello...)
	w.port.write(w.buf)
}
