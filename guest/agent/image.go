package main

import (
	"errors"
	"os"
	"sort"
	"strings"
	"syscall"
)

const (
	imageFile   = "/etc/forkd/image.json"
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// image is what the root file system says of itself; every member is optional.
type image struct {
	env      map[string]string
	hostname string
	runtimes map[string][]string // the command line of each, by name
	workdir  string
}

// loadImage reads the image's description. A file that is not there describes an image without anything special.
func loadImage(path string) (image, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return image{}, err
	}
	im, problem := parseImage(text)
	if problem != "" {
		return image{}, errors.New(path + ": " + problem)
	}
	return im, nil
}

func parseImage(text []byte) (im image, problem string) {
	im.env, im.runtimes = map[string]string{}, map[string][]string{}
	r := &jsonReader{text: text}
	r.object(func(key string) {
		switch key {
		case "env":
			r.object(func(name string) { im.env[name] = r.string() })
		case "hostname":
			im.hostname = r.string()
		case "workdir":
			im.workdir = r.string()
		case "runtimes":
			r.object(func(name string) { im.runtimes[name] = readArgv(r) })
		default:
			r.skip()
		}
	})
	r.end()
	if r.problem != "" {
		return image{}, r.problem
	}
	for name, value := range im.env {
		if !validEnv(name, value) {
			return image{}, "the environment variable " + quote(name) + " is not valid"
		}
	}
	for name, argv := range im.runtimes {
		if len(argv) == 0 || !strings.HasPrefix(argv[0], "/") {
			return image{}, "runtime " + quote(name) + " needs an argv that begins with an absolute path"
		}
	}
	if im.workdir != "" && im.workdir[0] != '/' {
		return image{}, "workdir must be an absolute path"
	}
	return im, ""
}

func readArgv(r *jsonReader) (argv []string) {
	r.object(func(key string) {
		if key == "argv" {
			r.array(func() { argv = append(argv, r.string()) })
		} else {
			r.skip()
		}
	})
	return argv
}

func (im image) runtimeNames() []string {
	names := make([]string, 0, len(im.runtimes))
	for name := range im.runtimes {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// guest is the machine programs run in.
type guest struct {
	pid int
	// privileged: the agent is PID 1 of a VM, and clock, hostname and entropy are its to set.
	privileged bool
	env        map[string]string // of all programs, the user's part left out
	workdir    string
	null       int // descriptor of /dev/null
	random     int // descriptor of /dev/urandom
}

func newGuest(im image, privileged bool) (*guest, error) {
	g := &guest{pid: os.Getpid(), privileged: privileged, workdir: im.workdir}
	if g.workdir == "" {
		g.workdir = "/"
	}
	g.env = map[string]string{"PATH": defaultPath, "LANG": "C.UTF-8", "TERM": "dumb"}
	for name, value := range im.env {
		g.env[name] = value
	}
	var err error
	if g.null, err = openDevice("/dev/null"); err != nil {
		return nil, err
	}
	g.random, err = openDevice("/dev/urandom")
	return g, err
}

func validEnv(name, value string) bool {
	return name != "" && !strings.ContainsAny(name, "=\x00") && strings.IndexByte(value, 0) < 0
}

// environment of a program that runs as u. What the request says comes last, and wins.
func (g *guest) environment(u *account, chosen bool, extra map[string]string) map[string]string {
	env := make(map[string]string, len(g.env)+len(extra)+2)
	for name, value := range g.env {
		env[name] = value
	}
	// The image may define HOME for its own user, not for one the request asks for.
	if _, own := env["HOME"]; !own || chosen {
		env["HOME"] = u.home
	}
	if _, own := env["USER"]; !own || chosen {
		env["USER"] = u.name
	}
	for name, value := range extra {
		env[name] = value
	}
	return env
}

func environList(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

func openDevice(path string) (int, error) {
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}
