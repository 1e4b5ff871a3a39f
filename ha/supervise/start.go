package supervise

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"muster/internal/spawn"
)

// start starts the application. If this process is killed, the application gets its stop signal: SIGKILL would spare the
// workers of a web server that has some, and they would hold its port.
func (s *Supervisor) start() (*spawn.Child, error) {
	if len(s.cfg.Command) == 0 {
		return nil, errors.New("start the application: no command is given")
	}
	cmd := exec.Command(s.cfg.Command[0], s.cfg.Command[1:]...)
	cmd.Dir = s.cfg.Dir
	cmd.Env = environment(os.Environ())
	cmd.Stdout, cmd.Stderr = s.output, s.output
	if s.cfg.User != "" {
		if err := as(cmd, s.cfg.User); err != nil {
			return nil, fmt.Errorf("start %s: %w", s.cfg.Command[0], err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Env)) {
		cmd.Env = append(cmd.Env, name+"="+s.cfg.Env[name]) // the last of a name counts
	}
	return spawn.Start(cmd, s.cfg.StopSignal)
}

// environment leaves out what systemd told this process and nobody else: an application that finds it would speak to
// systemd in our name (sd_notify(3), sd_listen_fds(3)).
func environment(ours []string) []string {
	return slices.DeleteFunc(ours, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES":
			return true
		}
		return false
	})
}

// as makes the command run as a user, with the user's groups and home.
func as(cmd *exec.Cmd, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return fmt.Errorf("there is no user %q on this machine", name)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+u.HomeDir, "USER="+u.Username, "LOGNAME="+u.Username)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	if int(uid) == os.Getuid() {
		return nil // we are that user, and need no right to become it
	}
	ids, err := u.GroupIds()
	if err != nil {
		return fmt.Errorf("groups of user %q: %w", name, err)
	}
	credential := &syscall.Credential{Uid: uint32(uid)}
	for _, id := range append([]string{u.Gid}, ids...) {
		gid, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return fmt.Errorf("groups of user %q: %w", name, err)
		}
		credential.Groups = append(credential.Groups, uint32(gid))
	}
	credential.Gid = credential.Groups[0]
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	return nil
}
