package main

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// System calls that never wait are made without telling Go's scheduler: it would otherwise hand the processor to
// another thread when a call runs cold and takes its time, which in a fork costs more than the call.

func readRaw(fd int, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func writeRaw(fd int, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) syscall.Errno {
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return errno
}

func sethostname(name string) error {
	p := []byte(name)
	_, _, errno := syscall.RawSyscall(syscall.SYS_SETHOSTNAME, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func fstat(fd int, st *syscall.Stat_t) error {
	_, _, errno := syscall.RawSyscall(syscall.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(st)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

const (
	prSetTimerSlack = 29
	usualSlack      = 50_000
	lazySlack       = 10_000_000
)

// calmScheduler makes the threads Go has started for itself sleep in steps of 10 ms where they ask for 20 us: its
// monitor would take as much of a busy fork's one slow processor as the work itself. To be called from the main thread.
func calmScheduler() {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	main := strconv.Itoa(os.Getpid())
	for _, task := range tasks {
		if task.Name() == main {
			continue
		}
		// Without the right to do so the agent is no worse off.
		_ = os.WriteFile("/proc/"+task.Name()+"/timerslack_ns", []byte(strconv.Itoa(lazySlack)), 0)
	}
}

// forkExec starts a program that has the usual timer slack, whichever thread it inherits from.
func forkExec(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, usualSlack, 0)
	return syscall.ForkExec(path, argv, attr)
}
