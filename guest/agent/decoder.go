package main

import "bytes"

// frameSink hears what a decoder finds, in the order of the bytes.
type frameSink interface {
	// onSync: a SYNC with this nonce was read; valid during the call.
	onSync(nonce []byte)
	// onFrame returns false when the frame breaks the protocol. The payload may be kept.
	onFrame(f frame) bool
	// onViolation: the connection is over until the next SYNC.
	onViolation()
}

type decoderState byte

const (
	hunting decoderState = iota // nothing but SYNC is of interest
	inNonce
	inHeader
	inPayload
)

// holdFrom is the length of a partial magic at the end of the input from which it is held back. A SYNC that interrupts a
// frame would otherwise fill that frame up with its own first bytes, and a program would read them.
const holdFrom = 4

// decoder cuts the host's bytes into frames and finds SYNC at every position, whatever it interrupts.
type decoder struct {
	sink    frameSink
	state   decoderState
	matched int // the input so far ends with this many bytes of the magic
	held    int // how many of these were not consumed yet
	have    int // bytes of the nonce, header or payload
	nonce   [nonceSize]byte
	header  [headerSize]byte
	payload []byte
}

// reset ends the connection without a word: only a SYNC counts from here on.
func (d *decoder) reset() {
	d.state = hunting
	d.payload = nil
}

// feed takes the next bytes, in pieces of any size.
func (d *decoder) feed(p []byte) {
	for len(p) > 0 {
		before, held := d.matched, d.held
		end := d.scan(p)
		if end >= 0 {
			if start := end - len(syncMagic); start >= 0 {
				d.release(before, held)
				d.consume(p[:start])
			}
			d.held = 0
			d.have = 0
			d.payload = nil
			d.state = inNonce
			p = p[end:]
			continue
		}
		if d.matched > len(p) { // the partial magic goes on
			if held == 0 && (d.matched < holdFrom || !d.inFrame()) {
				d.consume(p)
			} else {
				d.held += len(p)
			}
			return
		}
		d.release(before, held)
		rest := len(p) - d.matched
		d.consume(p[:rest])
		if d.matched >= holdFrom && d.inFrame() {
			d.held = d.matched
		} else {
			d.consume(p[rest:])
		}
		return
	}
}

func (d *decoder) inFrame() bool { return d.state == inHeader || d.state == inPayload }

// release consumes bytes that were held back and turned out not to begin a magic.
func (d *decoder) release(matched, held int) {
	d.held = 0
	if held > 0 {
		d.consume(syncMagic[matched-held : matched])
	}
}

// scan returns the offset behind a magic that ends in p, or -1; it keeps count of a partial one.
func (d *decoder) scan(p []byte) int {
	m := d.matched
	for i := 0; i < len(p); {
		if m == 0 {
			j := bytes.IndexByte(p[i:], syncMagic[0])
			if j < 0 {
				break
			}
			i += j + 1
			m = 1
			continue
		}
		if p[i] != syncMagic[m] {
			m = 0
			continue
		}
		i++
		m++
		if m == len(syncMagic) {
			d.matched = 0
			return i
		}
	}
	d.matched = m
	return -1
}

func (d *decoder) consume(p []byte) {
	for len(p) > 0 {
		switch d.state {
		case hunting:
			return
		case inNonce:
			n := copy(d.nonce[d.have:], p)
			d.have += n
			p = p[n:]
			if d.have == nonceSize {
				d.have = 0
				d.state = inHeader
				d.sink.onSync(d.nonce[:])
			}
		case inHeader:
			n := copy(d.header[d.have:], p)
			d.have += n
			p = p[n:]
			if d.have == headerSize {
				d.have = 0
				d.startPayload()
			}
		case inPayload:
			n := copy(d.payload[d.have:], p)
			d.have += n
			p = p[n:]
			if d.have == len(d.payload) {
				d.finishFrame()
			}
		}
	}
}

func (d *decoder) startPayload() {
	length := getUint32(d.header[:])
	if length > maxPayload || d.header[10] != 0 || d.header[11] != 0 || !validShape(d.header[4], d.header[5], length) {
		d.violation()
		return
	}
	if length == 0 {
		d.payload = nil
		d.finishFrame()
		return
	}
	d.payload = make([]byte, length)
	d.state = inPayload
}

// validShape knows the frames a host may send.
func validShape(kind, channel byte, length uint32) bool {
	switch kind {
	case frameRequest, framePart:
		return channel == 0
	case frameData:
		return channel == channelStdin
	case frameEnd:
		return channel == channelStdin && length == 0
	case frameWindow:
		return (channel == channelStdout || channel == channelStderr) && length == 4
	case frameCancel:
		return channel == 0 && length == 0
	case frameSignal, frameResize:
		return channel == 0 && length == 4
	}
	return false
}

func (d *decoder) finishFrame() {
	f := frame{kind: d.header[4], channel: d.header[5], stream: getUint32(d.header[6:]), payload: d.payload}
	d.payload = nil
	d.have = 0
	d.state = inHeader
	if !d.sink.onFrame(f) {
		d.violation()
	}
}

func (d *decoder) violation() {
	d.reset()
	d.sink.onViolation()
}
