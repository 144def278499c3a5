// forkd-launch starts a program inside a cgroup and ends: the program is in the cgroup from its first instruction on, so
// nothing of it is charged elsewhere. The program becomes a session of its own; its pid is in the cgroup's cgroup.procs.
//
//	forkd-launch CGROUP-DIR PROGRAM [ARGUMENT...]
//	forkd-launch --read CGROUP-DIR FILE
//
// The second form reads a file from inside the cgroup, which is then charged for its page cache.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

const usage = "usage: forkd-launch CGROUP-DIR PROGRAM [ARGUMENT...] | forkd-launch --read CGROUP-DIR FILE"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "forkd-launch:", err)
		os.Exit(126)
	}
}

func run(args []string) error {
	if len(args) == 3 && args[0] == "--read" {
		return readInside(args[1], args[2])
	}
	if len(args) < 2 || args[0] == "--read" {
		return errors.New(usage)
	}
	return launch(args[0], args[1:])
}

func launch(cgroup string, command []string) error {
	program, err := exec.LookPath(command[0])
	if err != nil {
		return fmt.Errorf("cannot start %s: %w", command[0], err)
	}
	attr := syscall.ProcAttr{
		Env: os.Environ(),
		// Those above are handed down as they are.
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if err := startInside(cgroup, program, command, &attr); err != nil {
		return fmt.Errorf("cannot start %s in %s: %w", command[0], cgroup, err)
	}
	return nil
}

// joinAndStart moves this process into the cgroup, where its child then begins. A move waits for the kernel's RCU, some
// 10 ms on an idle host, which is why startInside avoids it where it can.
func joinAndStart(cgroup, program string, command []string, attr *syscall.ProcAttr) error {
	if err := join(cgroup); err != nil {
		return err
	}
	_, err := syscall.ForkExec(program, command, attr)
	return err
}

func join(cgroup string) error {
	return os.WriteFile(cgroup+"/cgroup.procs", []byte("0"), 0)
}
