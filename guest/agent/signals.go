package main

import (
	"strconv"
	"syscall"
)

// Numbers as on x86-64, arm64 and riscv64.
var signalNames = [...]string{
	1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
	9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
	16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU",
	23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO",
	30: "SIGPWR", 31: "SIGSYS",
}

const firstRealtime = 34

func signalName(signal syscall.Signal) string {
	n := int(signal)
	if n > 0 && n < len(signalNames) {
		return signalNames[n]
	}
	if n == firstRealtime {
		return "SIGRTMIN"
	}
	return "SIGRTMIN+" + strconv.Itoa(n-firstRealtime)
}
