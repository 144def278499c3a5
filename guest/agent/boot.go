package main

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Devices are there as soon as their module is loaded, or a moment later; what is not there by then does not exist.
const deviceDeadline = 10 * time.Second

const (
	rootDisk   = "/dev/vda"
	moduleDir  = "/lib/modules/forkd"
	moduleList = moduleDir + "/modules.list"
	upperArg   = "forkd.upper="
)

type mountPoint struct {
	source, target, kind, data string
	flags                      uintptr
	mode                       uint32
}

var earlyMounts = []mountPoint{
	{"proc", "/proc", "proc", "", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC, 0o755},
	{"sysfs", "/sys", "sysfs", "", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC, 0o755},
	{"devtmpfs", "/dev", "devtmpfs", "mode=755", syscall.MS_NOSUID, 0o755},
}

var lateMounts = []mountPoint{
	{"devpts", "/dev/pts", "devpts", "mode=620,gid=5,ptmxmode=666", syscall.MS_NOSUID | syscall.MS_NOEXEC, 0o755},
	{"tmpfs", "/dev/shm", "tmpfs", "mode=1777", syscall.MS_NOSUID | syscall.MS_NODEV, 0o755},
	{"tmpfs", "/run", "tmpfs", "mode=755", syscall.MS_NOSUID | syscall.MS_NODEV, 0o755},
	{"tmpfs", "/tmp", "tmpfs", "mode=1777", syscall.MS_NOSUID | syscall.MS_NODEV, 0o755},
}

// boot takes the VM from the initramfs to its root file system. The agent itself stays in the initramfs.
func boot() error {
	for _, m := range earlyMounts {
		if err := m.mount(); err != nil && !errors.Is(err, syscall.EBUSY) {
			return err
		}
	}
	kernelLog, _ = os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	loadModules()
	arguments := strings.Fields(readText("/proc/cmdline"))
	if err := enterRoot(arguments); err != nil {
		return err
	}
	for _, m := range lateMounts {
		if err := m.mount(); err != nil {
			warn(err.Error())
		}
	}
	linkStandardStreams()
	if err := bringUpLoopback(); err != nil {
		warn("bringing up lo: " + err.Error())
	}
	if err := bringUpNetwork(arguments); err != nil {
		warn("bringing up the network: " + err.Error())
	}
	return nil
}

func (m mountPoint) mount() error {
	if err := os.MkdirAll(m.target, os.FileMode(m.mode)); err != nil {
		return err
	}
	if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
		return &os.PathError{Op: "mounting " + m.kind + " on", Path: m.target, Err: err}
	}
	return nil
}

// loadModules loads what the initramfs lists, in its order. A module that does not load is reported; whether the guest
// can do without shows later.
func loadModules() {
	text := readText(moduleList)
	for _, line := range strings.Split(text, "\n") {
		name := strings.TrimSpace(line)
		if name == "" || name[0] == '#' {
			continue
		}
		path := moduleDir + "/" + name
		if err := loadModule(path); err != nil {
			warn("module " + name + ": " + err.Error())
		}
		// Loaded or not, the file only takes memory from here on.
		_ = os.Remove(path)
	}
	_ = os.Remove(moduleList)
}

func loadModule(path string) error {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	options := [1]byte{}
	_, _, errno := syscall.Syscall(sysFinitModule, uintptr(fd), uintptr(unsafe.Pointer(&options[0])), 0)
	switch errno {
	case 0, syscall.EEXIST:
		return nil
	case syscall.ENOEXEC:
		return errors.New("it was built for another kernel than this one")
	case syscall.ENOENT:
		return errors.New("it needs a module that is listed after it, or not at all")
	}
	return errno
}

// enterRoot makes the disk the root: read-only, under a layer in memory, so that a copy of the memory is a copy of the
// disk too.
func enterRoot(arguments []string) error {
	if !waitFor(deviceDeadline, func() bool { return exists(rootDisk) }) {
		return errors.New("there is no root disk " + rootDisk)
	}
	for _, dir := range []string{"/ro", "/rw", "/newroot"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := mountRootDisk(); err != nil {
		return err
	}
	root := "/newroot"
	if err := mountUpper(upperSize(arguments)); err != nil {
		warn("the root stays read-only: " + err.Error())
		root = "/ro"
	}
	for _, m := range earlyMounts {
		target := root + m.target
		_ = os.MkdirAll(target, os.FileMode(m.mode))
		if err := syscall.Mount(m.target, target, "", syscall.MS_MOVE, ""); err != nil {
			return &os.PathError{Op: "moving " + m.target + " to", Path: target, Err: err}
		}
	}
	if err := syscall.Chdir(root); err != nil {
		return &os.PathError{Op: "chdir", Path: root, Err: err}
	}
	if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return &os.PathError{Op: "moving to / from", Path: root, Err: err}
	}
	if err := syscall.Chroot("."); err != nil {
		return &os.PathError{Op: "chroot", Path: root, Err: err}
	}
	return os.Chdir("/")
}

func mountRootDisk() error {
	err := syscall.Mount(rootDisk, "/ro", "ext4", syscall.MS_RDONLY|syscall.MS_NOATIME, "")
	if err != nil {
		// A file system that was not unmounted has a journal to replay, which a read-only disk cannot.
		err = syscall.Mount(rootDisk, "/ro", "ext4", syscall.MS_RDONLY|syscall.MS_NOATIME, "noload")
	}
	if err != nil {
		return &os.PathError{Op: "mounting the ext4 root from", Path: rootDisk, Err: err}
	}
	return nil
}

// upperSize is the kernel argument forkd.upper=, in the form tmpfs takes: bytes, with k, m or g, or percent.
func upperSize(arguments []string) string {
	for _, a := range arguments {
		if strings.HasPrefix(a, upperArg) {
			size := a[len(upperArg):]
			if validSize(size) {
				return size
			}
			warn("the kernel argument " + quote(a) + " is not a size such as 256m or 50%; taking 50%")
		}
	}
	return "50%"
}

func validSize(size string) bool {
	digits := strings.TrimRight(strings.ToLower(size), "kmg%")
	if digits == "" || len(size)-len(digits) > 1 {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}

func mountUpper(size string) error {
	if err := syscall.Mount("tmpfs", "/rw", "tmpfs", 0, "mode=755,size="+size); err != nil {
		return &os.PathError{Op: "mounting tmpfs on", Path: "/rw", Err: err}
	}
	for _, dir := range []string{"/rw/upper", "/rw/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	options := "lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work"
	err := syscall.Mount("overlay", "/newroot", "overlay", syscall.MS_NOATIME, options)
	if err == syscall.ENODEV {
		return errors.New("this kernel has no overlayfs, and no module for it was loaded")
	}
	if err != nil {
		return &os.PathError{Op: "mounting overlay on", Path: "/newroot", Err: err}
	}
	return nil
}

func exists(path string) bool {
	var st syscall.Stat_t
	return syscall.Stat(path, &st) == nil
}

func linkStandardStreams() {
	for name, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2",
	} {
		_ = os.Symlink(target, name)
	}
}

func setHostname(name string) {
	if err := sethostname(name); err != nil {
		warn("setting the hostname: " + err.Error())
	}
}
