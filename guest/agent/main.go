// The forkd guest agent: PID 1 of a microVM. It boots the guest, and serves the protocol of docs/guest-protocol.md.
package main

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// The collector runs when the agent holds this much, and never by the clock: an idle fork must stay idle, and every page
// a collection touches is a page the fork no longer shares.
const memoryTarget = 32 << 20

const usage = "usage: forkd-agent -listen unix:PATH [-runtime-config FILE]"

func main() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryTarget)
	err := errors.New("it must be PID 1 of a VM; " + usage)
	if socket, config, ok := parseArgs(os.Args[1:]); ok {
		err = runOnHost(socket, config)
	} else if os.Getpid() == 1 {
		// Whatever the kernel has passed on from its command line is not ours.
		err = runInit()
	}
	fatal(err.Error())
}

// parseArgs takes -name value and -name=value.
func parseArgs(args []string) (socket, config string, ok bool) {
	for len(args) > 0 {
		name, value := args[0], ""
		args = args[1:]
		if at := strings.IndexByte(name, '='); at >= 0 {
			name, value = name[:at], name[at+1:]
		} else if len(args) > 0 {
			value, args = args[0], args[1:]
		}
		switch strings.TrimPrefix(name, "-") {
		case "-listen", "listen":
			if !strings.HasPrefix(value, "unix:") {
				return "", "", false
			}
			socket = value[len("unix:"):]
		case "-runtime-config", "runtime-config":
			config = value
		default:
			return "", "", false
		}
	}
	return socket, config, socket != ""
}

// runInit boots the VM and serves its host; it returns only when that failed.
func runInit() error {
	if err := boot(); err != nil {
		return err
	}
	im, err := loadImage(imageFile)
	if err != nil {
		// The image still boots, and its owner can look into it with exec.
		warn(err.Error())
	}
	if im.hostname != "" {
		setHostname(im.hostname)
	}
	calmScheduler()
	g, err := newGuest(im, true)
	if err != nil {
		return err
	}
	path, err := findAgentPort()
	if err != nil {
		return err
	}
	port, err := openPort(path)
	if err != nil {
		return err
	}
	return serve(port, im, g)
}

// runOnHost serves as an ordinary process that leaves the machine it runs on alone.
func runOnHost(socket, config string) error {
	im := image{}
	if config != "" {
		var err error
		if im, err = loadImage(config); err != nil {
			return err
		}
	}
	if err := adoptOrphans(); err != nil {
		return err
	}
	g, err := newGuest(im, false)
	if err != nil {
		return err
	}
	port, err := listenUnix(socket)
	if err != nil {
		return err
	}
	return serve(port, im, g)
}

func serve(port transport, im image, g *guest) error {
	children := newReaper()
	var runtimes []*warmRuntime
	for _, name := range im.runtimeNames() {
		runtimes = append(runtimes, newRuntime(name, im.runtimes[name], g, children))
	}
	return newServer(port, g, children, runtimes).serve()
}
