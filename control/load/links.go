package load

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxLinks bounds the table; a machine with more interfaces than that has them for its containers.
const maxLinks = 256

// links reads the traffic of the node's network links.
type links struct {
	cfg   Config
	dev   *file
	known map[string]*link
	round uint64
}

type link struct {
	rx, tx   uint64 // bytes, as counted by the kernel
	round    uint64 // when it was last in the file
	looked   time.Time
	speed    float64 // bits per second; 0: the link is down
	hardware bool
	used     float64 // bits per second since the last round
	counted  bool    // used is known
}

func newLinks(cfg Config, dev *file) *links {
	return &links{cfg: cfg, dev: dev, known: map[string]*link{}}
}

// read returns the free bandwidth of all links that count together, the use of the fullest, and how many they are.
func (l *links) read(now time.Time, dt time.Duration) (free, fullest float64, n int) {
	l.round++
	hardware := false
	b := l.dev.read()
	for line := range bytes.Lines(b) {
		name, rx, tx, ok := traffic(line)
		if !ok || string(name) == "lo" || len(l.cfg.Links) > 0 && !l.wanted(name) {
			continue
		}
		k := l.known[string(name)]
		if k == nil {
			if len(l.known) >= maxLinks {
				continue
			}
			k = &link{}
			l.known[string(name)] = k
		} else {
			k.counted = rx >= k.rx && tx >= k.tx // counts begin again when a driver is loaded again
			k.used = 8 * float64(max(rx-k.rx, tx-k.tx)) / dt.Seconds()
		}
		k.rx, k.tx, k.round = rx, tx, l.round
		if now.Sub(k.looked) >= relook {
			k.looked = now
			k.speed, k.hardware = l.look(string(name))
		}
		hardware = hardware || k.hardware
	}
	for name, k := range l.known {
		if k.round != l.round {
			delete(l.known, name)
			continue
		}
		if k.speed <= 0 || hardware && !k.hardware && len(l.cfg.Links) == 0 {
			continue
		}
		n++
		if !k.counted {
			free += k.speed
			continue
		}
		free += max(0, k.speed-k.used)
		fullest = max(fullest, min(1, k.used/k.speed))
	}
	return free, fullest, n
}

func (l *links) wanted(name []byte) bool {
	return slices.ContainsFunc(l.cfg.Links, func(s string) bool { return s == string(name) })
}

// look reads what sysfs says of an interface.
func (l *links) look(name string) (speed float64, hardware bool) {
	dir := filepath.Join(l.cfg.Sys, "class/net", name)
	_, err := os.Stat(filepath.Join(dir, "device"))
	hardware = err == nil
	if state, err := os.ReadFile(filepath.Join(dir, "operstate")); err == nil && strings.TrimSpace(string(state)) == "down" {
		return 0, hardware
	}
	// In Mbit/s; -1 or an error where the driver does not know.
	text, err := os.ReadFile(filepath.Join(dir, "speed"))
	if err == nil {
		if mbit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 32); err == nil && mbit > 0 {
			return float64(mbit) * 1e6, hardware
		}
	}
	return float64(l.cfg.Speed), hardware
}

// traffic reads a line of /proc/net/dev: the interface and the bytes that it has received and sent.
func traffic(line []byte) (name []byte, rx, tx uint64, ok bool) {
	name, rest, ok := bytes.Cut(line, []byte(":"))
	if !ok || !bytes.HasSuffix(rest, []byte("\n")) { // the last line may be cut off
		return nil, 0, 0, false
	}
	const received, sent = 0, 8
	for i := received; i <= sent; i++ {
		var n uint64
		if n, rest, ok = number(rest); !ok {
			return nil, 0, 0, false
		}
		switch i {
		case received:
			rx = n
		case sent:
			tx = n
		}
	}
	return bytes.TrimSpace(name), rx, tx, true
}
