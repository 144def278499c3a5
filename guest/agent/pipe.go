package main

import (
	"os"
	"syscall"
)

// end is a pipe between the agent and a program: ours never blocks a thread, fd is the program's.
type end struct {
	ours *os.File
	fd   int
}

// pipeSet is the pipes of one program that is being started.
type pipeSet struct{ ends []end }

// output makes a pipe the program writes to.
func (s *pipeSet) output() (end, error) { return s.add(0) }

// input makes a pipe the program reads from.
func (s *pipeSet) input() (end, error) { return s.add(1) }

func (s *pipeSet) add(ours int) (end, error) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		return end{}, os.NewSyscallError("pipe2", err)
	}
	// Only our end: a program does not expect its standard streams to refuse to wait.
	if err := syscall.SetNonblock(fds[ours], true); err != nil {
		syscall.Close(fds[0])
		syscall.Close(fds[1])
		return end{}, os.NewSyscallError("fcntl", err)
	}
	e := end{ours: os.NewFile(uintptr(fds[ours]), "pipe"), fd: fds[1-ours]}
	s.ends = append(s.ends, e)
	return e, nil
}

// closeTheirs closes the program's ends, which it has got or never will.
func (s *pipeSet) closeTheirs() {
	for _, e := range s.ends {
		syscall.Close(e.fd)
	}
}

func (s *pipeSet) closeOurs() {
	for _, e := range s.ends {
		e.ours.Close()
	}
}

// readNow reads what is there, past any deadline; EAGAIN when nothing is.
func readNow(f *os.File, p []byte) (n int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	control := raw.Control(func(fd uintptr) { n, err = readRaw(int(fd), p) })
	if control != nil {
		return 0, control
	}
	return n, err
}

const (
	fGetPipeSize    = 1032
	defaultPipeSize = 65536
)

// pipeCapacity is how many bytes the pipe holds at most.
func pipeCapacity(f *os.File) int {
	size := defaultPipeSize
	raw, err := f.SyscallConn()
	if err != nil {
		return size
	}
	_ = raw.Control(func(fd uintptr) {
		if n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, fGetPipeSize, 0); errno == 0 {
			size = int(n)
		}
	})
	return size
}
