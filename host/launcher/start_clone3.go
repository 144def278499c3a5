//go:build go1.22

package main

import (
	"errors"
	"syscall"
)

// startInside has the kernel create the process inside the cgroup (clone3 with CLONE_INTO_CGROUP, Linux 5.7).
func startInside(cgroup, program string, command []string, attr *syscall.ProcAttr) error {
	dir, err := syscall.Open(cgroup, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(dir)
	attr.Sys.UseCgroupFD = true
	attr.Sys.CgroupFD = dir
	_, err = syscall.ForkExec(program, command, attr)
	// Older kernels do not know it, and some container runtimes answer so for all of clone3.
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.E2BIG) {
		attr.Sys.UseCgroupFD = false
		return joinAndStart(cgroup, program, command, attr)
	}
	return err
}
