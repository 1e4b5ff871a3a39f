package scenario

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"muster/lab/peer"
	"muster/lab/testbed"
)

// packages are the Debian packages of the programs that scenarios need.
var packages = map[string]string{
	"nginx": "nginx-light", "wrk": "wrk", "curl": "curl", "dig": "bind9-dnsutils", "dnsmasq": "dnsmasq-base",
	"nft": "nftables", "ip": "iproute2",
}

// missing says what must be installed for programs; empty means nothing.
func missing(programs []string) string {
	var list []string
	for _, p := range programs {
		if _, err := peer.Find(p); err != nil {
			list = append(list, packages[p])
		}
	}
	if list == nil {
		return ""
	}
	return "apt-get install " + strings.Join(list, " ")
}

// wrkSays is what wrk said of its load.
type wrkSays struct {
	Requests, Errors int64 // Errors: of sockets, and answers that are not 2xx or 3xx
	Slowest          time.Duration
	Said             string
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in`)
	wrkErrors   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	wrkStatus   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkLatency  = regexp.MustCompile(`(?m)^\s*Latency\s+\S+\s+\S+\s+(\S+)`)
)

func readWrk(said string) (wrkSays, error) {
	w := wrkSays{Said: said}
	m := wrkRequests.FindStringSubmatch(said)
	if m == nil {
		return w, fmt.Errorf("wrk said no number of requests: %.200q", said)
	}
	w.Requests, _ = strconv.ParseInt(m[1], 10, 64) // digits
	for _, re := range []*regexp.Regexp{wrkErrors, wrkStatus} {
		if m := re.FindStringSubmatch(said); m != nil {
			for _, digits := range m[1:] {
				n, _ := strconv.ParseInt(digits, 10, 64)
				w.Errors += n
			}
		}
	}
	if m := wrkLatency.FindStringSubmatch(said); m != nil {
		w.Slowest, _ = time.ParseDuration(m[1]) // wrk writes durations as Go does; without one it stays 0
	}
	return w, nil
}

// wrk has wrk ask for a while, from the clients' machine.
func (s *Stage) wrk(ctx context.Context, url string, connections int, length time.Duration, headers ...string) (wrkSays, error) {
	args := []string{"-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", max(1, int(length.Seconds()))), "--timeout", "10s", url}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	said, err := s.run(ctx, s.client(), "wrk", args...)
	if err != nil {
		return wrkSays{}, err
	}
	return readWrk(said)
}

// curl has curl fetch a page, from the clients' machine, and returns what it printed.
func (s *Stage) curl(ctx context.Context, args ...string) (string, error) {
	return s.run(ctx, s.client(), "curl", append([]string{"-sS", "--noproxy", "*", "--max-time", "20", "-g"}, args...)...)
}

// run runs a program on a machine, and returns what it printed.
func (s *Stage) run(ctx context.Context, on *testbed.Machine, program string, args ...string) (string, error) {
	if what := missing([]string{program}); what != "" {
		return "", fmt.Errorf("%s is not installed: %s", program, what)
	}
	out, err := on.Command(ctx, append([]string{program}, args...)...).Output()
	if err != nil {
		said := string(out)
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			said += string(e.Stderr)
		}
		return string(out), fmt.Errorf("%.100s on %s: %w: %.200s", program+" "+strings.Join(args, " "), on.Name, err, strings.Join(strings.Fields(said), " "))
	}
	return string(out), nil
}
