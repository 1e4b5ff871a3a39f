package serve

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"muster/internal/loop"
)

// A port is a listening socket. All workers wait for it; of each connection one is told.
type port struct {
	want   netip.AddrPort // as in Config.Listen; the zero value for one of Config.Listeners
	addr   netip.AddrPort
	fd     int
	users  atomic.Int32 // workers that have yet to let go of it, once it is given up
	closed sync.Once
}

func (p *port) close() { p.closed.Do(func() { loop.Discard(p.fd) }) }

// ports are those of a server, with those that it has given up and workers may still know.
type ports struct {
	mu    sync.Mutex
	open  []*port
	given []*port
	over  bool // the server has ended
}

func (p *ports) addrs() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]netip.AddrPort, len(p.open))
	for i, o := range p.open {
		list[i] = o.addr
	}
	return list
}

// add listens on the addresses that are not listened on yet, on all of them or on none.
func (p *ports) add(addrs, vips []netip.AddrPort) ([]*port, error) {
	var added []*port
	for i, at := range slices.Concat(addrs, vips) {
		if slices.ContainsFunc(p.open, func(o *port) bool { return o.want == at }) {
			continue
		}
		listen := loop.Listen
		if i >= len(addrs) {
			listen = loop.ListenAhead
		}
		fd, err := listen(at, backlog)
		if err != nil {
			for _, o := range added {
				o.close()
			}
			return nil, err
		}
		added = append(added, &port{want: at, addr: loop.LocalAddr(fd), fd: fd})
	}
	return added, nil
}

// listen has the server listen on these addresses, and on no others of its Config. Sockets that were handed to it stay.
// Where one cannot be listened on, nothing changes. Connections stay, also those that came in where it listens no more.
func (s *Server) listen(addrs, vips []netip.AddrPort) error {
	s.ports.mu.Lock()
	defer s.ports.mu.Unlock()
	if s.ports.over {
		return errors.New("serve: the server has ended")
	}
	added, err := s.ports.add(addrs, vips)
	if err != nil {
		return err
	}
	stays := func(o *port) bool {
		return !o.want.IsValid() || slices.Contains(addrs, o.want) || slices.Contains(vips, o.want)
	}
	var gone []*port
	for _, o := range s.ports.open {
		if !stays(o) {
			o.users.Store(int32(len(s.workers)))
			gone = append(gone, o)
		}
	}
	s.ports.open = append(slices.DeleteFunc(s.ports.open, func(o *port) bool { return !stays(o) }), added...)
	s.ports.given = append(slices.DeleteFunc(s.ports.given, func(o *port) bool { return o.users.Load() == 0 }), gone...)
	for _, w := range s.workers {
		w.loop.Post(func() {
			w.give(gone)
			w.take(added)
		})
	}
	return nil
}

// take listens on further sockets.
func (w *worker) take(list []*port) {
	for _, p := range list {
		l := &listener{w: w, port: p}
		w.listeners = append(w.listeners, l)
		if !w.paused {
			w.watch(l)
		}
	}
}

// give lets go of sockets, after what already waits there; the last worker to do so closes them.
func (w *worker) give(list []*port) {
	for _, p := range list {
		i := slices.IndexFunc(w.listeners, func(l *listener) bool { return l.port == p })
		if i < 0 {
			continue
		}
		for !w.paused && w.listeners[i].accept() {
			continue
		}
		if !w.paused {
			w.loop.Remove(p.fd)
		}
		w.listeners = slices.Delete(w.listeners, i, i+1)
		if p.users.Add(-1) == 0 {
			p.close()
		}
	}
}

func (w *worker) watch(l *listener) {
	if err := w.loop.Add(l.port.fd, l, loop.In, false); err != nil {
		w.log.Error("cannot accept connections", "address", l.port.addr, "error", err)
	}
}
