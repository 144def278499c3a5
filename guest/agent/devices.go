package main

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	portsDir  = "/sys/class/virtio-ports"
	agentPort = "agent"
	// rescan bounds the wait for one event, should the kernel send none.
	rescan = 50 * time.Millisecond
)

// waitFor waits until found says so, looking again whenever the kernel reports a device.
func waitFor(limit time.Duration, found func() bool) bool {
	if found() {
		return true
	}
	events := openDeviceEvents()
	if events >= 0 {
		defer syscall.Close(events)
	}
	buf := make([]byte, 8192)
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if found() {
			return true
		}
		if events < 0 {
			time.Sleep(rescan)
			continue
		}
		// It returns on an event, or after the receive timeout.
		_, _, _ = syscall.Recvfrom(events, buf, 0)
	}
	return found()
}

const netlinkKobjectUevent = 15

func openDeviceEvents() int {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, netlinkKobjectUevent)
	if err != nil {
		return -1
	}
	timeout := syscall.NsecToTimeval(int64(rescan))
	err = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: 1})
	}
	if err != nil {
		syscall.Close(fd)
		return -1
	}
	return fd
}

// findAgentPort waits for the virtio-serial port the host has named `agent`.
func findAgentPort() (string, error) {
	var path string
	found := waitFor(deviceDeadline, func() bool {
		path = namedPort(agentPort)
		return path != "" && exists(path)
	})
	if !found {
		return "", errors.New("there is no virtio-serial port named " + quote(agentPort))
	}
	return path, nil
}

func namedPort(name string) string {
	entries, err := os.ReadDir(portsDir)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if strings.TrimSpace(readText(portsDir+"/"+e.Name()+"/name")) == name {
			return "/dev/" + e.Name()
		}
	}
	return ""
}

// bringUpLoopback sets lo up.
func bringUpLoopback() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return bringUp(fd, "lo")
}
