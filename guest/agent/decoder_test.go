package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"
)

// recorder notes what a decoder finds.
type recorder struct {
	events  []string
	refuse  bool
	decoder decoder
}

func newRecorder() *recorder {
	r := &recorder{}
	r.decoder.sink = r
	return r
}

func (r *recorder) onSync(nonce []byte) { r.events = append(r.events, fmt.Sprintf("sync %x", nonce)) }

func (r *recorder) onFrame(f frame) bool {
	r.events = append(r.events, describeFrame(f))
	return !r.refuse
}

func (r *recorder) onViolation() { r.events = append(r.events, "violation") }

func describeFrame(f frame) string {
	return fmt.Sprintf("%d/%d/%d %x", f.kind, f.channel, f.stream, f.payload)
}

func syncBytes(nonce []byte) []byte { return append(append([]byte(nil), syncMagic[:]...), nonce...) }

func randomBytes(rng *rand.Rand, n int) []byte {
	p := make([]byte, n)
	rng.Read(p)
	return p
}

// randomFrame returns a frame a host may send, sometimes with most of the magic in its payload.
func randomFrame(rng *rand.Rand) frame {
	f := frame{stream: uint32(rng.Intn(maxStream)) + 1}
	switch rng.Intn(6) {
	case 0:
		f.kind = frameCancel
	case 1:
		f.kind, f.channel, f.payload = frameWindow, byte(1+rng.Intn(2)), randomBytes(rng, 4)
	case 2:
		f.kind = frameEnd
	case 3:
		f.kind, f.payload = frameRequest, bytes.Repeat([]byte("{}"), rng.Intn(40))
	default:
		f.kind, f.payload = frameData, randomBytes(rng, rng.Intn(300))
		if rng.Intn(2) == 0 {
			cut := 1 + rng.Intn(len(syncMagic)-1)
			f.payload = append(f.payload, syncMagic[:cut]...)
			f.payload = append(f.payload, 0)
			f.payload = append(f.payload, syncMagic[cut:]...)
		}
	}
	return f
}

func feedInPieces(rng *rand.Rand, d *decoder, p []byte) {
	for len(p) > 0 {
		n := 1 + rng.Intn(40)
		if rng.Intn(4) == 0 {
			n = 1 + rng.Intn(3)
		}
		if n > len(p) {
			n = len(p)
		}
		d.feed(p[:n])
		p = p[n:]
	}
}

func TestDecoderResynchronisesAtEveryByte(t *testing.T) {
	for seed := int64(0); seed < 4000; seed++ {
		rng := rand.New(rand.NewSource(seed))
		r := newRecorder()
		// An earlier host, cut off at any byte: in a SYNC, a nonce, a header, a payload.
		stale := syncBytes(randomBytes(rng, nonceSize))
		for i := rng.Intn(4); i >= 0; i-- {
			f := randomFrame(rng)
			stale = append(stale, encodeFrame(f.kind, f.channel, f.stream, f.payload)...)
		}
		stale = stale[:rng.Intn(len(stale)+1)]
		if rng.Intn(3) == 0 {
			stale = append(stale, randomBytes(rng, rng.Intn(100))...)
		}
		if rng.Intn(3) == 0 {
			stale = append(stale, syncMagic[:rng.Intn(len(syncMagic))]...)
		}
		feedInPieces(rng, &r.decoder, stale)

		nonce := randomBytes(rng, nonceSize)
		want := []string{fmt.Sprintf("sync %x", nonce)}
		input := syncBytes(nonce)
		for i := rng.Intn(4); i > 0; i-- {
			f := randomFrame(rng)
			want = append(want, describeFrame(f))
			input = append(input, encodeFrame(f.kind, f.channel, f.stream, f.payload)...)
		}
		// The last frame may end like a magic begins; the next byte settles it.
		input = append(input, 0)
		feedInPieces(rng, &r.decoder, input)
		if len(r.events) < len(want) {
			t.Fatalf("seed %d: got %q, want %q at the end", seed, r.events, want)
		}
		got := r.events[len(r.events)-len(want):]
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("seed %d: got %q, want %q at the end", seed, r.events, want)
		}
	}
}

func TestDecoderKeepsSyncOutOfInterruptedData(t *testing.T) {
	nonce := bytes.Repeat([]byte{7}, nonceSize)
	for missing := 1; missing <= len(syncMagic); missing++ {
		for piece := 1; piece <= 32; piece++ {
			r := newRecorder()
			data := encodeFrame(frameData, 0, 5, bytes.Repeat([]byte{'x'}, 20))
			input := append(syncBytes(nonce), data[:len(data)-missing]...)
			input = append(input, syncBytes(nonce)...)
			r.decoder.feed(input[:len(input)-32])
			for p := input[len(input)-32:]; len(p) > 0; {
				n := piece
				if n > len(p) {
					n = len(p)
				}
				r.decoder.feed(p[:n])
				p = p[n:]
			}
			want := 2
			if missing < holdFrom && piece < holdFrom {
				want = 3 // too few bytes to tell from data that just ends so
			}
			if len(r.events) > want {
				t.Fatalf("%d bytes missing, pieces of %d: %q", missing, piece, r.events)
			}
		}
	}
}

func TestDecoderDeliversDataThatEndsLikeSync(t *testing.T) {
	for cut := 1; cut < len(syncMagic); cut++ {
		r := newRecorder()
		nonce := make([]byte, nonceSize)
		payload := append([]byte("data"), syncMagic[:cut]...)
		r.decoder.feed(append(syncBytes(nonce), encodeFrame(frameData, 0, 5, payload)...))
		if held := len(r.events) == 1; held != (cut >= holdFrom) {
			t.Fatalf("%d bytes of the magic: held is %v", cut, held)
		}
		r.decoder.feed(encodeFrame(frameEnd, 0, 5, nil))
		want := fmt.Sprint([]string{
			fmt.Sprintf("sync %x", nonce), describeFrame(frame{frameData, 0, 5, payload}), describeFrame(frame{frameEnd, 0, 5, nil}),
		})
		if got := fmt.Sprint(r.events); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func TestDecoderRefusesMalformedFrames(t *testing.T) {
	long := make([]byte, headerSize)
	putHeader(long, frameData, 0, 1, maxPayload+1)
	reserved := encodeFrame(frameCancel, 0, 1, nil)
	reserved[11] = 1
	for name, bad := range map[string][]byte{
		"unknown type":        encodeFrame(99, 0, 1, nil),
		"type 0":              encodeFrame(0, 0, 1, nil),
		"a frame of guests":   encodeFrame(frameHello, 0, 0, []byte("{}")),
		"too long":            long,
		"reserved":            reserved,
		"window of 3 bytes":   encodeFrame(frameWindow, 1, 1, []byte{1, 2, 3}),
		"window of stdin":     encodeFrame(frameWindow, 0, 1, []byte{0, 0, 0, 1}),
		"end with a payload":  encodeFrame(frameEnd, 0, 1, []byte{1}),
		"data on stdout":      encodeFrame(frameData, 1, 1, []byte{1}),
		"request on a stdout": encodeFrame(frameRequest, 1, 1, []byte("{}")),
	} {
		r := newRecorder()
		nonce := make([]byte, nonceSize)
		good := encodeFrame(frameCancel, 0, 3, nil)
		r.decoder.feed(append(append(syncBytes(nonce), bad...), good...))
		if len(r.events) != 2 || r.events[1] != "violation" {
			t.Errorf("%s: %q", name, r.events)
		}
		r.decoder.feed(append(syncBytes(nonce), good...))
		if len(r.events) != 4 {
			t.Errorf("%s: not back after SYNC: %q", name, r.events)
		}
	}
}

// FuzzDecoder checks that how the input is cut makes no difference, and that a SYNC always gets through.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add(syncBytes(make([]byte, nonceSize)), uint8(3))
	f.Add(append(syncBytes(make([]byte, nonceSize)), encodeFrame(frameData, 0, 1, syncMagic[:9])...), uint8(5))
	f.Fuzz(func(t *testing.T, input []byte, size uint8) {
		nonce := bytes.Repeat([]byte{1}, nonceSize)
		input = append(append([]byte(nil), input...), syncBytes(nonce)...)
		whole, pieces := newRecorder(), newRecorder()
		whole.decoder.feed(input)
		for p := input; len(p) > 0; {
			n := int(size)%17 + 1
			if n > len(p) {
				n = len(p)
			}
			pieces.decoder.feed(p[:n])
			p = p[n:]
		}
		last := fmt.Sprintf("sync %x", nonce)
		for _, r := range []*recorder{whole, pieces} {
			if len(r.events) == 0 || r.events[len(r.events)-1] != last {
				t.Fatalf("no SYNC at the end of %x: %q", input, r.events)
			}
		}
	})
}
