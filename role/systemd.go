package role

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"muster/console"
)

// attend tells the service manager, if one wants to know (sd_notify(3)), when the node can be asked, when it stops, and,
// for its watchdog, that it lives: that all its parts still say how they are.
func (n *Node) attend(ctx context.Context) error {
	if !n.answers(ctx) {
		return nil
	}
	tell(daemon.SdNotifyReady)
	n.log.Info("node runs", "roles", n.Status().Roles, "cluster", n.Status().Cluster)
	defer tell(daemon.SdNotifyStopping)
	var beat <-chan time.Time
	if d, err := daemon.SdWatchdogEnabled(false); err == nil && d > 0 {
		ticker := time.NewTicker(d / 3)
		defer ticker.Stop()
		beat = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat:
			n.Status()
			tell(daemon.SdNotifyWatchdog)
		}
	}
}

// answers waits until the console does.
func (n *Node) answers(ctx context.Context) bool {
	client := console.NewClient([]string{"unix:" + n.socket()}, "")
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := client.Status(ctx); err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-again.C:
		}
	}
}

// telling tells the service manager that the node reloads, and with what it returns, that it has.
func (n *Node) telling() (done func()) {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // it has no way to fail
	tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
	return func() { tell(daemon.SdNotifyReady) }
}

// tell tells it; nobody listening is no trouble of ours.
func tell(what string) { _, _ = daemon.SdNotify(false, what) }
