package main

import (
	"os"
	"syscall"
)

// kernelLog is /dev/kmsg once PID 1 has it: its lines reach the console of the VM, whichever there is.
var kernelLog *os.File

// warn reports what an operator should know; it shows on the console of a quiet boot.
func warn(text string) { logLine("<3>", text) }

// note reports progress, to the kernel's log only.
func note(text string) {
	if kernelLog != nil {
		logLine("<6>", text)
	}
}

func logLine(level, text string) {
	line := "forkd-agent: " + text + "\n"
	if kernelLog != nil {
		if _, err := kernelLog.WriteString(level + line); err == nil {
			return
		}
	}
	os.Stderr.WriteString(line)
}

// fatal ends the agent: PID 1 takes the VM down with it, so that nobody waits for a guest that will not answer.
func fatal(reason string) {
	warn("fatal: " + reason)
	if os.Getpid() != 1 {
		os.Exit(1)
	}
	syscall.Sync()
	// Restart, not power off: all engines leave on it, and not all machines they emulate can be switched off.
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	os.Exit(1)
}
