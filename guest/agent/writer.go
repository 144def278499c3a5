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
	// batch is what the reading goroutine has to say to the bytes it read at once: one write, where a fork's first write
	// costs most. It is that goroutine's own.
	batch []byte
}

// newEpoch cuts off all earlier connections; it waits for nothing.
func (w *frameWriter) newEpoch() uint32 { return atomic.AddUint32(&w.epoch, 1) }

// send writes one frame, unless its connection is over.
func (w *frameWriter) send(epoch uint32, kind, channel byte, stream uint32, payload []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if atomic.LoadUint32(&w.epoch) == epoch {
		w.buf = appendFrame(w.buf[:0], kind, channel, stream, payload)
		w.port.write(w.buf)
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

// answerSync puts the answer to SYNC and HELLO into the batch, in place of what an earlier connection would have got.
func (w *frameWriter) answerSync(nonce, hello []byte) {
	w.batch = append(w.batch[:0], answerMagic[:]...)
	w.batch = append(w.batch, nonce...)
	w.batch = appendFrame(w.batch, frameHello, 0, 0, hello)
}

// flush writes the batch, after the frame that is being written.
func (w *frameWriter) flush() {
	if len(w.batch) == 0 {
		return
	}
	w.mu.Lock()
	w.port.write(w.batch)
	w.mu.Unlock()
	w.batch = w.batch[:0]
}

func appendFrame(b []byte, kind, channel byte, stream uint32, payload []byte) []byte {
	var header [headerSize]byte
	putHeader(header[:], kind, channel, stream, len(payload))
	return append(append(b, header[:]...), payload...)
}
