package wire

// Window is how many sequence numbers back a datagram may come late and still be told from one seen before.
const Window = 1024

// A window knows which sequences of a session have been seen: all up to newest-Window, and those whose bit is set after
// that (RFC 6479).
type window struct {
	newest uint64
	seen   [Window / 64]uint64
}

// start begins a session at the sequence that proved it. What is older is taken as seen.
func (w *window) start(seq uint64) {
	w.newest = seq
	for i := range w.seen {
		w.seen[i] = ^uint64(0)
	}
}

// fresh says whether the sequence has not been seen.
func (w *window) fresh(seq uint64) bool {
	switch {
	case seq > w.newest:
		return true
	case w.newest-seq >= Window:
		return false
	}
	return w.seen[seq/64%(Window/64)]&(1<<(seq%64)) == 0
}

// note marks a fresh sequence as seen. Call it only for what has been authenticated.
func (w *window) note(seq uint64) {
	if seq > w.newest {
		// The bits between the old newest and the new one belonged to sequences that have now left the window.
		if seq-w.newest >= Window {
			w.seen = [Window / 64]uint64{}
		} else {
			for s := w.newest + 1; s < seq; s++ {
				w.seen[s/64%(Window/64)] &^= 1 << (s % 64)
			}
		}
		w.newest = seq
	}
	w.seen[seq/64%(Window/64)] |= 1 << (seq % 64)
}
