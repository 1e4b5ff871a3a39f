package testbed

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A relay is a slow piece of cable: it carries frames between two ports of the switch that nothing else joins, and keeps
// each for its time. Kernels need not have a queueing discipline that can (netem, fq), so it is done here.
type relay struct {
	out, in *lane
}

// A lane is one direction of a relay.
type lane struct {
	from, to *os.File // packet sockets
	fault    atomic.Pointer[Fault]
	waiting  atomic.Int64 // bytes
	taken    atomic.Int64 // frames
	lost     atomic.Int64 // of them: there was no room
	frames   chan frame
	done     sync.WaitGroup
}

type frame struct {
	bytes []byte
	due   time.Time
}

const (
	framesMost   = 16384     // that a lane keeps
	queueDefault = 128 << 10 // bytes that wait for Fault.Rate
	frameMost    = 64 << 10
	socketBuffer = 8 << 20
)

// newRelay joins two ports by their indexes: machine's is where what the machine sends comes in. The caller's thread is in
// the switch's space.
func newRelay(machine, net int) (*relay, error) {
	a, err := packetSocket(machine)
	if err != nil {
		return nil, err
	}
	b, err := packetSocket(net)
	if err != nil {
		a.Close()
		return nil, err
	}
	r := &relay{out: newLane(a, b), in: newLane(b, a)}
	return r, nil
}

func newLane(from, to *os.File) *lane {
	l := &lane{from: from, to: to, frames: make(chan frame, framesMost)}
	l.fault.Store(&Fault{})
	l.done.Go(l.take)
	l.done.Go(l.give)
	return l
}

// close ends the relay. What it keeps is lost.
func (r *relay) close() {
	_ = r.out.from.Close() // they were only used
	_ = r.in.from.Close()
	r.out.done.Wait()
	r.in.done.Wait()
}

// take reads frames until the socket is closed.
func (l *lane) take() {
	defer close(l.frames)
	conn, err := l.from.SyscallConn()
	if err != nil {
		return
	}
	buf, oob := make([]byte, frameMost), make([]byte, 128)
	for {
		var n, oobn int
		var readErr error
		err := conn.Read(func(fd uintptr) bool {
			n, oobn, _, _, readErr = unix.Recvmsg(int(fd), buf, oob, 0)
			return readErr != unix.EAGAIN
		})
		if err != nil {
			return // closed
		}
		if readErr != nil || n < 14 {
			continue // the port is down, for now
		}
		l.taken.Add(1)
		fault := l.fault.Load()
		size := int64(n)
		if fault.Rate > 0 && l.waiting.Load()+size > int64(cmp.Or(fault.Queue, queueDefault)) {
			l.lost.Add(1)
			continue
		}
		f := frame{tagged(buf[:n], oob[:oobn]), time.Now().Add(fault.Delay)}
		l.waiting.Add(size)
		select {
		case l.frames <- f:
		default:
			l.waiting.Add(-size)
			l.lost.Add(1)
		}
	}
}

// give sends each frame when it is due, and not before the one ahead of it is over.
func (l *lane) give() {
	conn, err := l.to.SyscallConn()
	if err != nil {
		return
	}
	var free time.Time // when the cable is
	for f := range l.frames {
		due := f.due
		if rate := l.fault.Load().Rate; rate > 0 {
			if free.Before(due) {
				free = due
			}
			free = free.Add(time.Duration(len(f.bytes)) * 8 * time.Second / time.Duration(rate))
			due = free
		}
		// Timers of the runtime are not fine enough for links whose frames follow each other within microseconds.
		if wait := time.Until(due); wait > 0 {
			t := unix.NsecToTimespec(int64(wait))
			for unix.Nanosleep(&t, &t) == unix.EINTR {
			}
		}
		l.waiting.Add(-int64(len(f.bytes)))
		err := conn.Write(func(fd uintptr) bool {
			_, err := unix.Write(int(fd), f.bytes)
			return err != unix.EAGAIN
		})
		if err != nil {
			break // closed
		}
	}
	for range l.frames { // until take has ended
	}
}

// packetSocket hears and sends whole frames at a port.
func packetSocket(port int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: port}),
	)
	if err != nil {
		_ = unix.Close(fd) // the error says more
		return nil, fmt.Errorf("set up a packet socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "packet"), nil
}

func htons(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// Of struct tpacket_auxdata (linux/if_packet.h, packet(7)).
const (
	auxSize      = 20
	auxTCI       = 16
	auxTPID      = 18
	vlanValid    = 1 << 4
	vlanTPID     = 1 << 6
	macAddresses = 12
)

// tagged is a copy of the frame, with the VLAN tag that the kernel has taken out of it.
func tagged(b, oob []byte) []byte {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		messages = nil
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < auxSize {
			continue
		}
		status := binary.NativeEndian.Uint32(m.Data)
		if status&vlanValid == 0 {
			break
		}
		tpid := uint16(unix.ETH_P_8021Q)
		if status&vlanTPID != 0 {
			tpid = binary.NativeEndian.Uint16(m.Data[auxTPID:])
		}
		out := append(make([]byte, 0, len(b)+4), b[:macAddresses]...)
		out = binary.BigEndian.AppendUint16(out, tpid)
		out = binary.BigEndian.AppendUint16(out, binary.NativeEndian.Uint16(m.Data[auxTCI:]))
		return append(out, b[macAddresses:]...)
	}
	return append([]byte(nil), b...)
}
