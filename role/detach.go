package role

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"muster/config"
	"muster/console"
	"muster/datapath/packet"
	"muster/datapath/vip"
)

// askDetach has the node take everything that it has put there out of the kernel and off its machine's network, until a
// file is read again. A traffic node goes out first, which takes its time; Status says when it is done.
func (n *Node) askDetach() error {
	n.mu.Lock()
	n.detached = console.Detached{State: console.Detaching}
	n.mu.Unlock()
	select {
	case n.toDetach <- struct{}{}:
	default: // it is told already
	}
	return nil
}

func (n *Node) detachWhenTold(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.toDetach:
			n.detach()
		}
	}
}

func (n *Node) detach() {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	n.log.Warn("node is being detached")
	var err error
	if n.traffic != nil {
		n.traffic.detach()
	}
	if n.director != nil {
		err = n.director.detach()
	}
	done := console.Detached{State: console.IsDetached, Problem: n.network.trouble()}
	if err != nil {
		done.Problem = err.Error()
	}
	n.mu.Lock()
	n.detached = done
	n.mu.Unlock()
	n.happened("node", n.opts.Name, "detached", done.Problem)
}

// Detach removes what a node that does not run has left in the kernel and on its machine's network.
func Detach(f *config.File, name string, log *slog.Logger) error {
	err := packet.Detach(Pin(f.Cluster, name))
	cfg := vip.Config{Journal: Journal(f.State, name), Pin: PinVIP(f.Cluster, name)}
	if _, none := os.Stat(filepath.Dir(cfg.Journal)); none == nil {
		err = errors.Join(err, vip.Undo(cfg, log))
	}
	return err
}
