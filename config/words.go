package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Bytes is a size in the file: 16KiB, 64MiB, 2GiB, 10kB, or a plain number of bytes.
type Bytes int64

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

func (b Bytes) String() string {
	for _, u := range byteUnits[:3] {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

func parseBytes(s string) (Bytes, error) {
	size := int64(1)
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			s, size = strings.TrimRight(n, " "), u.size
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/size {
		return 0, errors.New("write a number with B, kB, KiB, MB, MiB, GB or GiB, like 16KiB")
	}
	return Bytes(n * size), nil
}

// Percent is a part of a hundred, 0 to 100.
type Percent float64

// Part is the percentage as a part of one.
func (p Percent) Part() float64 { return float64(p) / 100 }

func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

func parsePercent(s string) (Percent, error) {
	n, ok := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(n, 64)
	switch {
	case err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0:
		return 0, errors.New("write a number and a per cent sign, like 20%")
	case !ok:
		return 0, fmt.Errorf("write the per cent sign: %s%%", s)
	}
	return Percent(v), nil
}

// Statuses is a range of HTTP status codes, both ends in it.
type Statuses struct{ From, To int }

// Has says whether the code is in the range.
func (s Statuses) Has(code int) bool { return s.From <= code && code <= s.To }

func (s Statuses) String() string {
	if s.From == s.To {
		return strconv.Itoa(s.From)
	}
	return fmt.Sprintf("%d-%d", s.From, s.To)
}

func parseStatuses(s string) (Statuses, error) {
	a, b, two := strings.Cut(s, "-")
	if !two {
		b = a
	}
	from, err1 := strconv.Atoi(a)
	to, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil || from < 100 || to > 599 || from > to {
		return Statuses{}, errors.New("write a code from 100 to 599, or two with the lower first, like 200-399")
	}
	return Statuses{from, to}, nil
}

// A Port is a port on the VIP of a service; AllPorts stands for each that no other service of the VIP has.
type Port uint16

// AllPorts is written as the word all.
const AllPorts Port = 0

const allPorts = "all"

func (p Port) String() string {
	if p == AllPorts {
		return allPorts
	}
	return strconv.Itoa(int(p))
}

func parseServicePort(s string) (Port, error) {
	if s == allPorts {
		return AllPorts, nil
	}
	p, err := parsePort(s)
	if err != nil || p == 0 {
		return 0, errors.New("write a number from 1 to 65535, or all for every port")
	}
	return Port(p), nil
}

// Without is what becomes of a service when its director cannot dispatch packets in the kernel.
type Without string

// The ways out.
const (
	WithoutRefuse Without = "refuse" // it does not serve it, and says why
	WithoutProxy  Without = "proxy"  // it proxies it
)

// Lost is what becomes of the flows of a node that is gone.
type Lost string

// The ends of a flow whose node is gone.
const (
	LostMove  Lost = "move"
	LostReset Lost = "reset"
)

// An Encapsulation is how a packet travels inside another one.
type Encapsulation string

// The encapsulations: IP in IP (RFC 2003, RFC 2473), and Generic UDP Encapsulation (draft-ietf-intarea-gue).
const (
	IPIP Encapsulation = "ipip"
	GUE  Encapsulation = "gue"
)

// A PacketMode is how the packet program is attached to a port.
type PacketMode string

// The modes: by the port's driver, or by the kernel on any port, which costs more.
const (
	PacketAuto    PacketMode = "auto"
	PacketNative  PacketMode = "native"
	PacketGeneric PacketMode = "generic"
)

// VIPs says who puts VIPs on a director's port.
type VIPs string

// Who does.
const (
	VIPsHold  VIPs = "hold"
	VIPsLeave VIPs = "leave"
)

// A CheckKind is how a check asks the application.
type CheckKind string

// The kinds of check.
const (
	CheckTCP   CheckKind = "tcp"
	CheckHTTP  CheckKind = "http"
	CheckHTTPS CheckKind = "https"
	CheckExec  CheckKind = "exec"
)

// A Schedule is the name of a policy of control/schedule.
type Schedule string

var schedules = []Schedule{"rr", "wrr", "lc", "wlc", "sh", "mh", "random", "p2c", "least-time", "has", "load"}

// Schedules lists the schedules that a service may name.
func Schedules() []Schedule { return slices.Clone(schedules) }

// A Method is what an HTTP check asks with. All are safe (RFC 9110 9.2.1): a check changes nothing.
type Method string

// A ForwardHeader is a family of header fields by which a proxy says for whom it asks.
type ForwardHeader string

// The families: X-Forwarded-For, -Proto and -Host; Forwarded (RFC 7239); Via (RFC 9110 7.6.3).
const (
	XForwarded ForwardHeader = "x-forwarded"
	Forwarded  ForwardHeader = "forwarded"
	Via        ForwardHeader = "via"
)

// A ProxyHeader is the version of the PROXY protocol that a node is spoken to with.
type ProxyHeader string

// The versions.
const (
	ProxyNone ProxyHeader = "none"
	ProxyV1   ProxyHeader = "v1"
	ProxyV2   ProxyHeader = "v2"
)

// An AccessFormat is how the access log is written.
type AccessFormat string

// The formats of the access log.
const (
	AccessOff      AccessFormat = "off"
	AccessCombined AccessFormat = "combined"
	AccessJSON     AccessFormat = "json"
)

// A LogFormat is how the program's own log is written.
type LogFormat string

// The formats of the program's own log.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// A Level is the least level of what the program logs.
type Level string

// Slog is the level as log/slog knows it.
func (l Level) Slog() slog.Level {
	var s slog.Level
	_ = s.UnmarshalText([]byte(l)) // the words of a Level are slog's; an empty one is info
	return s
}

// A Signal is the name of a signal, without SIG.
type Signal string

// Number is the signal's number; that of an empty Signal is 0.
func (s Signal) Number() syscall.Signal { return unix.SignalNum("SIG" + string(s)) }
