package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// account is who a program runs as.
type account struct {
	name   string
	uid    uint32
	gid    uint32
	groups []uint32
	home   string
}

func (a *account) credential() *syscall.Credential {
	return &syscall.Credential{Uid: a.uid, Gid: a.gid, Groups: a.groups}
}

// ownAccount is the agent's own.
func ownAccount() *account {
	uid := uint32(os.Getuid())
	if uid == 0 {
		// Not looked up: every exec would read a file for what no image changes.
		return &account{name: "root", home: "/root"}
	}
	a, found := passwdEntry(readText(passwdFile), func(name string, id uint32) bool { return id == uid })
	if !found {
		a = account{name: idText(uid), uid: uid, gid: uint32(os.Getgid()), home: "/"}
	}
	return &a
}

// findAccount reads `name`, `uid` or `uid:gid`. A uid that /etc/passwd does not know is its own group, its home is "/".
func findAccount(user string) (*account, *failure) {
	colon := strings.IndexByte(user, ':')
	uidText := user
	if colon >= 0 {
		uidText = user[:colon]
	}
	uid, numeric := parseID(uidText)
	if colon >= 0 && !numeric {
		return nil, invalid("user " + quote(user) + " is not a name, uid or uid:gid")
	}
	a, found := passwdEntry(readText(passwdFile), func(name string, id uint32) bool {
		return numeric && id == uid || !numeric && name == user
	})
	if !found {
		if !numeric {
			return nil, &failure{"not_found", "user " + quote(user) + " is not in " + passwdFile}
		}
		a = account{name: idText(uid), uid: uid, gid: uid, home: "/"}
	}
	if colon >= 0 {
		gid, ok := parseID(user[colon+1:])
		if !ok {
			return nil, invalid("user " + quote(user) + " is not a name, uid or uid:gid")
		}
		a.gid = gid
		a.groups = []uint32{gid}
		return &a, nil
	}
	a.groups = append([]uint32{a.gid}, supplementaryGroups(readText(groupFile), a.name, a.gid)...)
	return &a, nil
}

func readText(path string) string {
	// A root file system without the file has no such accounts.
	text, _ := os.ReadFile(path)
	return string(text)
}

func idText(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func parseID(text string) (uint32, bool) {
	// 2^32-1 means "leave as it is" to the kernel.
	id, err := strconv.ParseUint(text, 10, 32)
	return uint32(id), err == nil && id < 1<<32-1
}

// passwdEntry finds the first entry that matches: name:password:uid:gid:gecos:home:shell.
func passwdEntry(text string, match func(name string, uid uint32) bool) (account, bool) {
	for _, line := range strings.Split(text, "\n") {
		field := strings.Split(line, ":")
		if len(field) < 6 || field[0] == "" {
			continue
		}
		uid, ok := parseID(field[2])
		gid, okGid := parseID(field[3])
		if !ok || !okGid || !match(field[0], uid) {
			continue
		}
		home := field[5]
		if home == "" {
			home = "/"
		}
		return account{name: field[0], uid: uid, gid: gid, home: home}, true
	}
	return account{}, false
}

// supplementaryGroups lists the groups that name the user: name:password:gid:member,member.
func supplementaryGroups(text, user string, own uint32) []uint32 {
	var groups []uint32
	for _, line := range strings.Split(text, "\n") {
		field := strings.Split(line, ":")
		if len(field) < 4 {
			continue
		}
		gid, ok := parseID(field[2])
		if !ok || gid == own {
			continue
		}
		for _, member := range strings.Split(field[3], ",") {
			if member == user {
				groups = append(groups, gid)
				break
			}
		}
	}
	return groups
}
