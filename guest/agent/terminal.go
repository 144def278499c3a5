package main

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// terminalSize is struct winsize.
type terminalSize struct{ rows, cols, xPixels, yPixels uint16 }

// readTerminalSize reads {"rows": n, "cols": n}.
func readTerminalSize(r *jsonReader) *terminalSize {
	size := &terminalSize{}
	r.object(func(key string) {
		switch key {
		case "rows":
			size.rows = readCells(r)
		case "cols":
			size.cols = readCells(r)
		default:
			r.skip()
		}
	})
	return size
}

func readCells(r *jsonReader) uint16 {
	n := r.natural()
	if n > 1<<16-1 {
		r.fail("a terminal has at most 65535 rows and columns")
		return 0
	}
	return uint16(n)
}

// Numbers as on x86-64, arm64 and riscv64.
const (
	ioctlGetTermios    = 0x5401
	ioctlSetTermios    = 0x5402
	ioctlGetForeground = 0x540f
	ioctlSetWindowSize = 0x5414
	ioctlUnlock        = 0x40045431
	ioctlGetNumber     = 0x80045430
)

// termios is the kernel's, not libc's.
type termios struct {
	input, output, control, local uint32
	line                          byte
	chars                         [19]byte
}

const (
	inputUTF8 = 0x4000
	canonical = 0x2
	charEnd   = 4
)

// openTerminal makes a terminal: the host's end, which never blocks a thread, and the program's.
func openTerminal(size terminalSize, owner *account) (host *os.File, program int, err error) {
	fd, err := syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, -1, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	host = os.NewFile(uintptr(fd), "terminal")
	if program, err = openProgramEnd(fd, size, owner); err != nil {
		host.Close()
		return nil, -1, err
	}
	return host, program, nil
}

func openProgramEnd(host int, size terminalSize, owner *account) (int, error) {
	var number uint32
	var locked int32
	if errno := ioctl(host, ioctlGetNumber, unsafe.Pointer(&number)); errno != 0 {
		return -1, os.NewSyscallError("ioctl TIOCGPTN", errno)
	}
	if errno := ioctl(host, ioctlUnlock, unsafe.Pointer(&locked)); errno != 0 {
		return -1, os.NewSyscallError("ioctl TIOCSPTLCK", errno)
	}
	path := "/dev/pts/" + strconv.Itoa(int(number))
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	// Its user must be able to open it by name.
	if err := syscall.Fchown(fd, int(owner.uid), -1); err != nil && owner.uid != uint32(os.Getuid()) {
		syscall.Close(fd)
		return -1, &os.PathError{Op: "chown", Path: path, Err: err}
	}
	var mode termios
	if ioctl(fd, ioctlGetTermios, unsafe.Pointer(&mode)) == 0 {
		mode.input |= inputUTF8
		_ = ioctl(fd, ioctlSetTermios, unsafe.Pointer(&mode))
	}
	_ = ioctl(fd, ioctlSetWindowSize, unsafe.Pointer(&size))
	return fd, nil
}

// startInTerminal runs the program as the leader of a session with a terminal.
func (x *execution) startInTerminal(c *command, size terminalSize) *failure {
	host, program, err := openTerminal(size, c.owner)
	if err != nil {
		return &failure{"internal", "no terminal: " + err.Error()}
	}
	if x.queue != nil {
		// A descriptor of its own: standard input is closed while output still comes.
		if x.input, err = duplicate(host); err != nil {
			host.Close()
			syscall.Close(program)
			return &failure{"internal", "no terminal: " + err.Error()}
		}
	}
	c.attr.Files = []uintptr{uintptr(program), uintptr(program), uintptr(program)}
	c.attr.Sys.Setctty = true
	x.child, err = x.server.children.start(c.path, c.args, &c.attr, nil)
	if err != nil {
		host.Close()
		syscall.Close(program)
		if x.input != nil {
			x.input.Close()
		}
		return startFailure(c.args[0], err)
	}
	x.terminal, x.terminalHeld = host, program
	x.stdout = newOutput(host, x.stream, channelStdout, c.limit)
	return nil
}

func duplicate(file *os.File) (*os.File, error) {
	fd := -1
	err := control(file, func(original int) error {
		n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(original), syscall.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			return os.NewSyscallError("fcntl", errno)
		}
		fd = int(n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), file.Name()), nil
}

// control calls f with the file's descriptor, which stays open meanwhile; it fails when the file is closed.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// resize tells the terminal its size; the kernel sends SIGWINCH to what is in its foreground.
func (x *execution) resize(size terminalSize) {
	if x.terminal == nil {
		return
	}
	_ = control(x.terminal, func(fd int) error {
		_ = ioctl(fd, ioctlSetWindowSize, unsafe.Pointer(&size))
		return nil
	})
}

// signalForeground signals the terminal's foreground group; false when there is none.
func (x *execution) signalForeground(signal syscall.Signal) bool {
	var group int32
	err := control(x.terminal, func(fd int) error {
		if errno := ioctl(fd, ioctlGetForeground, unsafe.Pointer(&group)); errno != 0 {
			return errno
		}
		return nil
	})
	return err == nil && group > 0 && x.server.children.signalGroup(x.child, int(group), signal)
}

// typeEnd types the key that ends input, for a program that reads lines: twice where a line was begun, as the first one
// only sends that line. A program that reads keys is not told.
func typeEnd(terminal *os.File, newLine bool) {
	var mode termios
	err := control(terminal, func(fd int) error {
		if errno := ioctl(fd, ioctlGetTermios, unsafe.Pointer(&mode)); errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil || mode.local&canonical == 0 || mode.chars[charEnd] == 0 {
		return
	}
	keys := []byte{mode.chars[charEnd], mode.chars[charEnd]}
	if newLine {
		keys = keys[:1]
	}
	_, _ = terminal.Write(keys)
}
