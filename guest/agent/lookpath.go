package main

import (
	"os"
	"strings"
	"syscall"
)

// findProgram resolves args[0] as execvp would, in the PATH given; a name with a slash is taken from cwd.
func findProgram(name, path, cwd string) (string, *failure) {
	if strings.IndexByte(name, '/') >= 0 {
		at := name
		if name[0] != '/' {
			at = cwd + "/" + name
		}
		switch err := executable(at); err {
		case nil:
			return at, nil
		case syscall.ENOENT, syscall.ENOTDIR:
			return "", &failure{"not_found", "exec: " + quote(name) + ": no such file"}
		default:
			return "", &failure{"not_found", "exec: " + quote(name) + ": " + err.Error()}
		}
	}
	denied := false
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			// execvp would take the working directory, and with it whatever lies there.
			continue
		}
		if dir[0] != '/' {
			dir = cwd + "/" + dir
		}
		err := executable(dir + "/" + name)
		if err == nil {
			return dir + "/" + name, nil
		}
		denied = denied || err == syscall.EACCES
	}
	if denied {
		return "", &failure{"not_found", "exec: " + quote(name) + ": permission denied"}
	}
	return "", &failure{"not_found", "exec: " + quote(name) + ": not found in PATH"}
}

func executable(path string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		return syscall.EISDIR
	}
	if st.Mode&0o111 == 0 {
		return syscall.EACCES
	}
	return nil
}

func directory(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
