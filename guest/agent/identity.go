package main

import (
	"encoding/base64"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

const (
	minEntropy  = 32
	maxEntropy  = 512
	maxHostname = 64

	rndAddEntropy = 0x40085203
	rndReseedCRNG = 0x5207
	clockRealtime = 0
)

// identity makes a restored VM one of its own. It runs on the reading goroutine: nothing the host asks later overtakes it.
func (s *server) identity(params []byte) ([]byte, *failure) {
	var encoded, unixNS, hostname string
	f := readParams(params, func(r *jsonReader, key string) bool {
		switch key {
		case "entropy":
			encoded = r.string()
		case "unix_ns":
			unixNS = r.string()
		case "hostname":
			hostname = r.string()
		default:
			return false
		}
		return true
	})
	if f != nil {
		return nil, f
	}
	entropy, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(entropy) < minEntropy || len(entropy) > maxEntropy {
		return nil, invalid("entropy must be 32 to 512 bytes in base64")
	}
	now, err := strconv.ParseInt(unixNS, 10, 64)
	if err != nil || now < 0 {
		return nil, invalid("unix_ns must be nanoseconds since 1970, in decimal")
	}
	if hostname == "" || len(hostname) > maxHostname {
		return nil, invalid("hostname must have 1 to 64 bytes")
	}
	var step int64
	if s.guest.privileged {
		if err := reseedKernel(s.guest.random, entropy); err != nil {
			return nil, &failure{"internal", "reseeding the kernel: " + err.Error()}
		}
		if step, err = setClock(now); err != nil {
			return nil, &failure{"internal", "setting the clock: " + err.Error()}
		}
		if err := sethostname(hostname); err != nil {
			return nil, &failure{"internal", "setting the hostname: " + err.Error()}
		}
	}
	for _, r := range s.runtimes {
		r.reseed()
	}
	b := append(make([]byte, 0, 48), `{"clock_step_ns":"`...)
	b = appendInt(b, step)
	return append(b, `"}`...), nil
}

// reseedKernel credits the entropy and makes the kernel's generator take it up at once.
func reseedKernel(random int, entropy []byte) error {
	var pool struct {
		bits  int32
		bytes int32
		data  [maxEntropy]byte
	}
	pool.bits = int32(len(entropy) * 8)
	pool.bytes = int32(copy(pool.data[:], entropy))
	if errno := ioctl(random, rndAddEntropy, unsafe.Pointer(&pool)); errno != 0 {
		return errno
	}
	// Without this, equal copies of a VM give equal random numbers until the kernel's next reseed.
	if errno := ioctl(random, rndReseedCRNG, nil); errno != 0 {
		return errno
	}
	return nil
}

// setClock returns by how much it moved the clock.
func setClock(now int64) (step int64, err error) {
	ts := syscall.NsecToTimespec(now)
	before := time.Now().UnixNano()
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_SETTIME, clockRealtime, uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		return 0, errno
	}
	return now - before, nil
}
