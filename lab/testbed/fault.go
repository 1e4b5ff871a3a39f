package testbed

import (
	"context"
	"errors"
)

// Cut unplugs cables: both ends see it.
func (l *Lab) Cut(links ...Link) error { return errors.ErrUnsupported }

// Mend plugs cables in again, and ends what Slow has done to them.
func (l *Lab) Mend(links ...Link) error { return errors.ErrUnsupported }

// Slow has a link behave badly. A way's former fault is replaced; the other way's stays.
func (l *Lab) Slow(link Link, f Fault) error { return errors.ErrUnsupported }

// Part parts machines from each other: those of different groups exchange no more frames, in any LAN. Who is in no group
// reaches all. Former groups are forgotten; no groups at all ends it.
func (l *Lab) Part(groups ...[]string) error { return errors.ErrUnsupported }

// Deafen keeps frames of one machine from reaching another, in that direction alone.
func (l *Lab) Deafen(from, to string) error { return errors.ErrUnsupported }

// PathMTU has the router tell of a path between clients and LANs that is so narrow, in both directions, while all links have
// theirs. 0 is no limit.
func (l *Lab) PathMTU(ctx context.Context, mtu int) error { return errors.ErrUnsupported }

// Heal mends every link and ends every parting.
func (l *Lab) Heal() error { return errors.ErrUnsupported }
