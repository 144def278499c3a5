package main

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	networkArg = "ip="
	resolvConf = "/etc/resolv.conf"
	// A network device is there when its module is loaded; a kernel that names it otherwise will not come to.
	networkDeadline = 2 * time.Second
)

// address is an IPv4 address in the order of the network.
type address [4]byte

// network is what the kernel argument ip= gives a device (Documentation/admin-guide/nfs/nfsroot.rst of Linux).
type network struct {
	device             string
	own, gateway, mask address
	hasGateway         bool
	resolvers          []string
}

// networkOf reads client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1. The second result is false where there
// is no such argument.
func networkOf(arguments []string) (network, bool, error) {
	for _, a := range arguments {
		if !strings.HasPrefix(a, networkArg) {
			continue
		}
		n, err := parseNetwork(a[len(networkArg):])
		if err != nil {
			err = errors.New("the kernel argument " + quote(a) + ": " + err.Error())
		}
		return n, true, err
	}
	return network{}, false, nil
}

func parseNetwork(text string) (n network, err error) {
	fields := append(strings.Split(text, ":"), make([]string, 9)...)
	var ok bool
	if n.own, ok = parseAddress(fields[0]); !ok {
		return n, errors.New(quote(fields[0]) + " is no IPv4 address")
	}
	if fields[2] != "" {
		if n.gateway, n.hasGateway = parseAddress(fields[2]); !n.hasGateway {
			return n, errors.New(quote(fields[2]) + " is no IPv4 address")
		}
	}
	if n.mask, ok = parseAddress(fields[3]); !ok {
		return n, errors.New(quote(fields[3]) + " is no netmask")
	}
	n.device = fields[5]
	if n.device == "" || len(n.device) >= syscall.IFNAMSIZ {
		return n, errors.New(quote(fields[5]) + " is no device")
	}
	for _, resolver := range fields[7:9] {
		if resolver == "" {
			continue
		}
		if _, ok := parseAddress(resolver); !ok {
			return n, errors.New(quote(resolver) + " is no IPv4 address")
		}
		n.resolvers = append(n.resolvers, resolver)
	}
	return n, nil
}

func parseAddress(text string) (a address, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != len(a) {
		return a, false
	}
	for i, part := range parts {
		if part == "" || len(part) > 3 {
			return a, false
		}
		value := 0
		for _, digit := range []byte(part) {
			if digit < '0' || digit > '9' {
				return a, false
			}
			value = value*10 + int(digit-'0')
		}
		if value > 255 {
			return a, false
		}
		a[i] = byte(value)
	}
	return a, true
}

// bringUpNetwork gives the device what the kernel argument ip= says. A kernel with the driver built in has done so already,
// and then nothing changes.
func bringUpNetwork(arguments []string) error {
	n, given, err := networkOf(arguments)
	if !given || err != nil {
		return err
	}
	if !waitFor(networkDeadline, func() bool { return exists("/sys/class/net/" + n.device) }) {
		return errors.New("there is no network device " + quote(n.device))
	}
	// Nothing carries it, and its probes would wake every fork. A kernel without it has no such file.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+n.device+"/disable_ipv6", []byte("1"), 0)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if errno := setAddress(fd, n.device, syscall.SIOCSIFADDR, n.own); errno != 0 {
		return &os.SyscallError{Syscall: "SIOCSIFADDR", Err: errno}
	}
	if errno := setAddress(fd, n.device, syscall.SIOCSIFNETMASK, n.mask); errno != 0 {
		return &os.SyscallError{Syscall: "SIOCSIFNETMASK", Err: errno}
	}
	if err := bringUp(fd, n.device); err != nil {
		return err
	}
	if n.hasGateway {
		if errno := addDefaultRoute(fd, n.gateway); errno != 0 && errno != syscall.EEXIST {
			return &os.SyscallError{Syscall: "SIOCADDRT", Err: errno}
		}
	}
	return writeResolvers(n.resolvers)
}

func writeResolvers(resolvers []string) error {
	if len(resolvers) == 0 {
		return nil
	}
	text := ""
	for _, resolver := range resolvers {
		text += "nameserver " + resolver + "\n"
	}
	// An image may have it as a link to a service that does not run here.
	_ = os.Remove(resolvConf)
	return os.WriteFile(resolvConf, []byte(text), 0o644)
}

type socketAddress struct {
	family uint16
	port   uint16
	addr   address
	_      [8]byte
}

func inet(a address) socketAddress {
	return socketAddress{family: syscall.AF_INET, addr: a}
}

func setAddress(fd int, device string, request uintptr, a address) syscall.Errno {
	var ifreq struct {
		name [syscall.IFNAMSIZ]byte
		addr socketAddress
		_    [8]byte
	}
	copy(ifreq.name[:], device)
	ifreq.addr = inet(a)
	return ioctl(fd, request, unsafe.Pointer(&ifreq))
}

const (
	routeUp      = 0x1
	routeGateway = 0x2
)

// addDefaultRoute fills struct rtentry of linux/route.h.
func addDefaultRoute(fd int, gateway address) syscall.Errno {
	var route struct {
		_                     uintptr
		dst, gateway, genmask socketAddress
		flags                 uint16
		_                     int16
		_                     uintptr
		_                     uintptr
		_                     int16
		dev                   uintptr
		_                     uintptr
		_                     uintptr
		_                     uintptr
		_                     uint16
	}
	route.dst, route.gateway, route.genmask = inet(address{}), inet(gateway), inet(address{})
	route.flags = routeUp | routeGateway
	return ioctl(fd, syscall.SIOCADDRT, unsafe.Pointer(&route))
}

// bringUp sets a device up.
func bringUp(fd int, device string) error {
	var ifreq struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(ifreq.name[:], device)
	if errno := ioctl(fd, syscall.SIOCGIFFLAGS, unsafe.Pointer(&ifreq)); errno != 0 {
		return &os.SyscallError{Syscall: "SIOCGIFFLAGS", Err: errno}
	}
	ifreq.flags |= syscall.IFF_UP
	if errno := ioctl(fd, syscall.SIOCSIFFLAGS, unsafe.Pointer(&ifreq)); errno != 0 {
		return &os.SyscallError{Syscall: "SIOCSIFFLAGS", Err: errno}
	}
	return nil
}
