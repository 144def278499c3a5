package main

// Frame types, see docs/guest-protocol.md.
const (
	frameHello    = 1
	frameRequest  = 2
	frameResponse = 3
	frameData     = 4
	frameWindow   = 5
	frameEnd      = 6
	frameCancel   = 7
	framePart     = 8
	frameSignal   = 9
	frameResize   = 10
)

const (
	channelStdin  = 0
	channelStdout = 1
	channelStderr = 2
)

const (
	protocolVersion = 1
	headerSize      = 12
	maxPayload      = 65536
	maxStream       = 1<<31 - 1
	// maxMessage bounds the JSON of one request or response, all its PART frames together.
	maxMessage = 32 << 20
	// windowSize is how many DATA bytes may be under way on a stream and channel.
	windowSize = 262144
	nonceSize  = 16
	// maxOpenRequests bounds what a host can make the agent hold.
	maxOpenRequests = 1024
)

// syncMagic opens a connection; its first byte occurs in it only once, which the scanner relies on.
var syncMagic = [16]byte{0xf7, 0x8b, 0xa1, 0xd5, 0x9e, 0xc3, 0xe6, 0xfb, 0x91, 0xad, 0x88, 0xb2, 0xf5, 0x9c, 0xd7, 0xea}

var answerMagic = [16]byte{0xe9, 0x97, 0xb3, 0xfd, 0x8a, 0xc5, 0xd1, 0xf2, 0xa6, 0x9b, 0xee, 0x84, 0xdf, 0xb8, 0x93, 0xcc}

type frame struct {
	kind    byte
	channel byte
	stream  uint32
	payload []byte
}

func putHeader(dst []byte, kind, channel byte, stream uint32, length int) {
	putUint32(dst, uint32(length))
	dst[4] = kind
	dst[5] = channel
	putUint32(dst[6:], stream)
	dst[10], dst[11] = 0, 0
}

func putUint32(dst []byte, v uint32) {
	_ = dst[3]
	dst[0], dst[1], dst[2], dst[3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
}

func getUint32(src []byte) uint32 {
	_ = src[3]
	return uint32(src[0])<<24 | uint32(src[1])<<16 | uint32(src[2])<<8 | uint32(src[3])
}
