package main

import (
	"errors"
	"io"
	"syscall"
)

// The runtime protocol, over two pipes the driver finds as descriptors 3 (from the agent) and 4 (to it): a 4-byte
// length of what follows, a kind, a 4-byte number, and a body. Numbers are big-endian.
const (
	toDriverEval   = 'E' // body: how many interrupts were sent before, 4 bytes; source text
	toDriverReseed = 'R' // body: random bytes
	driverReady    = 'r' // fields: version of numpy or null, numbers of the signals to take a seed and to interrupt
	driverDone     = 'D' // fields: result, error, traceback, each text or null

	messageHead = 5
	maxDriver   = 4 << 20 // bytes of one message from the driver
	nullField   = 0xffffffff
	seedBytes   = 32
	// pipeAtomic is a size that always fits: an idle driver has read all that came before.
	pipeAtomic = 4096
)

type driverMessage struct {
	kind   byte
	id     uint32
	fields [][]byte // nil for null
}

func driverHead(b []byte, kind byte, id uint32, body int) []byte {
	var head [4 + messageHead]byte
	putUint32(head[:], uint32(messageHead+body))
	head[4] = kind
	putUint32(head[5:], id)
	return append(b, head[:]...)
}

// seedMessage draws from the kernel, which the identity has just reseeded; the host's own entropy stays out of reach of
// the programs.
func seedMessage(b []byte, random int) []byte {
	var seed [seedBytes]byte
	for {
		if _, err := readRaw(random, seed[:]); err != syscall.EINTR {
			break
		}
	}
	return append(driverHead(b, toDriverReseed, 0, seedBytes), seed[:]...)
}

var errDriver = errors.New("the driver sent what is no message")

func readDriverMessage(r io.Reader) (driverMessage, error) {
	var head [4 + messageHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return driverMessage{}, err
	}
	length := getUint32(head[:])
	if length < messageHead || length > maxDriver {
		return driverMessage{}, errDriver
	}
	m := driverMessage{kind: head[4], id: getUint32(head[5:])}
	body := make([]byte, length-messageHead)
	if _, err := io.ReadFull(r, body); err != nil {
		return m, err
	}
	for len(body) > 0 {
		if len(body) < 4 {
			return m, errDriver
		}
		size := getUint32(body)
		body = body[4:]
		if size == nullField {
			m.fields = append(m.fields, nil)
			continue
		}
		if uint64(size) > uint64(len(body)) {
			return m, errDriver
		}
		m.fields = append(m.fields, body[:size:size])
		body = body[size:]
	}
	return m, nil
}
