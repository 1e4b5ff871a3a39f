package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"muster/cluster"
	"muster/internal/nearest"
)

// A scalar is how one type of value is written. What parse returns as an error is the hint.
type scalar struct {
	a      string // with its article, as messages and the reference say it
	like   string // an example
	words  []string
	parse  func(string) (reflect.Value, error)
	format func(reflect.Value) string
	plain  bool // written without quotes, and the same in JSON: numbers and booleans
}

var scalars = table(
	of("text", "text", false, func(s string) (string, error) { return s, nil }, func(s string) string { return s }),
	of("true or false", "true", true, parseBool, strconv.FormatBool),
	of("a whole number", "10", true, parseInt, strconv.Itoa),
	of("a port", "8080", true, parsePort, func(p uint16) string { return strconv.Itoa(int(p)) }),
	of("a port", "80", false, parseServicePort, Port.String),
	of("a duration", "200ms", false, parseDuration, formatDuration),
	of("a size", "16KiB", false, parseBytes, Bytes.String),
	of("a percentage", "20%", false, parsePercent, Percent.String),
	of("a status code or range", "200-399", false, parseStatuses, Statuses.String),
	of("an IP address", "10.0.0.11", false, parseAddr, netip.Addr.String),
	of("an address with a port", "127.0.0.1:8080", false, parseAddrPort, netip.AddrPort.String),
	of("a network", "10.0.0.0/8", false, parsePrefix, netip.Prefix.String),
	words("a role", cluster.Roles()),
	words("a kind of service", cluster.Kinds()),
	words("a way of dispatch", cluster.Dispatches()),
	words("a schedule", schedules),
	words("a word for what is done without XDP", []Without{WithoutRefuse, WithoutProxy}),
	words("a word for what becomes of a lost node's flows", []Lost{LostMove, LostReset}),
	words("an encapsulation", []Encapsulation{IPIP, GUE}),
	words("a way to attach XDP", []PacketMode{PacketAuto, PacketNative, PacketGeneric}),
	words("a word for who holds VIPs", []VIPs{VIPsHold, VIPsLeave}),
	words("a kind of check", []CheckKind{CheckTCP, CheckHTTP, CheckHTTPS, CheckExec}),
	words("a method", []Method{"GET", "HEAD", "OPTIONS"}),
	words("a family of header fields", []ForwardHeader{XForwarded, Forwarded, Via}),
	words("a PROXY header", []ProxyHeader{ProxyNone, ProxyV1, ProxyV2}),
	words("an access log format", []AccessFormat{AccessCombined, AccessJSON, AccessOff}),
	words("a log format", []LogFormat{LogText, LogJSON}),
	words("a level", []Level{"debug", "info", "warn", "error"}),
	words("a signal", []Signal{"TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH", "KILL"}),
)

type typed struct {
	typ reflect.Type
	scalar
}

func table(entries ...typed) map[reflect.Type]scalar {
	m := make(map[reflect.Type]scalar, len(entries))
	for _, e := range entries {
		m[e.typ] = e.scalar
	}
	return m
}

func of[T any](a, like string, plain bool, parse func(string) (T, error), format func(T) string) typed {
	return typed{reflect.TypeFor[T](), scalar{
		a: a, like: like, plain: plain,
		parse: func(s string) (reflect.Value, error) {
			v, err := parse(s)
			return reflect.ValueOf(v), err
		},
		format: func(v reflect.Value) string { return format(v.Interface().(T)) },
	}}
}

func words[T ~string](a string, list []T) typed {
	allowed := make([]string, len(list))
	for i, w := range list {
		allowed[i] = string(w)
	}
	t := of(a, allowed[0], false, func(s string) (T, error) {
		if slices.Contains(list, T(s)) {
			return T(s), nil
		}
		hint := "allowed: " + strings.Join(allowed, ", ")
		if n := nearest.Word(s, allowed); n != "" {
			hint = "did you mean " + n + "? " + hint
		}
		return "", errors.New(hint)
	}, func(w T) string { return string(w) })
	t.words = allowed
	return t
}

// errForm stands for the usual hint, the example.
var errForm = errors.New("")

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("write true or false")
}

func parseInt(s string) (int, error) {
	if len(s) > 1 && s[0] == '0' {
		return 0, errors.New("write it without leading zeros")
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || s[0] == '+' {
		return 0, errForm
	}
	return int(n), nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, errors.New("write a number from 1 to 65535")
	}
	return uint16(n), nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil {
		return d, nil
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 {
		return 0, fmt.Errorf("write its unit, like %ss or %sms", s, s)
	}
	return 0, errors.New("write a number with ms, s, m or h, like 200ms or 1m30s")
}

// formatDuration leaves out the parts that are nought: 1h, not 1h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err == nil {
		return a.Unmap(), nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return a, fmt.Errorf("write it without the port: %s", ap.Addr())
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		return a, fmt.Errorf("write it without the length of its network: %s", p.Addr())
	}
	return a, errors.New("write an IPv4 or IPv6 address, like 10.0.0.11 or 2001:db8::11; names are not looked up")
}

func parseAddrPort(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err == nil && a.Port() != 0 {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
	}
	if strings.HasPrefix(s, ":") {
		return a, fmt.Errorf(`write the address too: 0.0.0.0%s, or "[::]%s"`, s, s)
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return a, errors.New("write the port too, like 127.0.0.1:8080")
	}
	return a, errors.New(`write an IP address and a port from 1 to 65535, like 127.0.0.1:8080 or "[::1]:8080"`)
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, errors.New("write a network and the length of its prefix, like 10.0.0.0/8, or one address")
	}
	if p.Masked() != p {
		return p, fmt.Errorf("did you mean %s?", p.Masked())
	}
	return p, nil
}

// order places a value that can have a range among its like.
func order(v reflect.Value) float64 {
	switch v.Kind() {
	case reflect.Float64:
		return v.Float()
	case reflect.Uint16:
		return float64(v.Uint())
	case reflect.Int, reflect.Int64:
		return float64(v.Int())
	}
	return math.NaN()
}

// bounds returns the range of a key's values: ports have one of themselves.
func (k *key) bounds(t reflect.Type) (low, high string) {
	if t.Kind() == reflect.Uint16 && k.low == "" && t != reflect.TypeFor[Port]() {
		return "1", "65535"
	}
	return k.low, k.high
}

// within says whether the value is in the key's range.
func (k *key) within(v reflect.Value) bool {
	low, high := k.bounds(v.Type())
	if low == "" || k.zero != "" && v.IsZero() {
		return true
	}
	s := scalars[v.Type()]
	return order(must(s.parse(low))) <= order(v) && order(v) <= order(must(s.parse(high)))
}

// span says the range in words.
func (k *key) span(t reflect.Type) string {
	low, high := k.bounds(t)
	if low == "" {
		return ""
	}
	text := low + " to " + high
	if k.zero != "" {
		text += ", or 0: " + k.zero
	}
	return text
}

func must(v reflect.Value, err error) reflect.Value {
	if err != nil {
		panic("config: a tag has a value that cannot be read: " + err.Error())
	}
	return v
}
