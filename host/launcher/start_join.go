//go:build !go1.22

package main

import "syscall"

// startInside starts the process from inside the cgroup: this Go's library cannot ask for clone3.
func startInside(cgroup, program string, command []string, attr *syscall.ProcAttr) error {
	return joinAndStart(cgroup, program, command, attr)
}
