package report

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"muster/cluster"
)

// TestMain is also the director of BenchmarkDirector, which wants its processor time apart from that of the nodes.
func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv("REPORT_TEST_NODES")); err == nil {
		aloneDirector(n)
		return
	}
	goleak.VerifyTestMain(m)
}

func addrOf(c Conn) netip.AddrPort {
	return c.(*udpConn).local
}

func loopback(t testing.TB, addrs ...string) []Conn {
	t.Helper()
	var list []netip.AddrPort
	for _, a := range addrs {
		list = append(list, netip.AddrPortFrom(netip.MustParseAddr(a), 0))
	}
	conns, err := Listen(list)
	if err != nil {
		t.Fatal(err)
	}
	return conns
}

func TestOverUDP(t *testing.T) {
	conns := loopback(t, "127.0.0.1", "127.0.1.1")
	at := []string{addrOf(conns[0]).String(), addrOf(conns[1]).String()}
	l := receiver(t, conns, "t1")
	start(t, l.Run)
	n := reporter(t, testKey, "t1", 4484, loopback(t, "127.0.0.11", "127.0.1.11"), at...)
	stop := start(t, n.Run)
	if got := <-l.heard; got.Node != "t1" || got.Index != 4484 {
		t.Errorf("got %+v, want t1 with 4484", got)
	}
	for range 3 {
		<-l.heard
	}
	for _, lan := range l.Status().Nodes[0].LANs {
		if !lan.Addr.IsValid() {
			t.Errorf("got %+v, want it heard on both LANs", lan)
		}
	}
	stop()
	if got := <-l.silent; got != "t1: it is stopping" {
		t.Errorf("got %q, want that it is stopping", got)
	}
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	conns := loopback(t, "127.0.0.1")
	defer conns[0].Close()
	_, err := Listen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:0"), addrOf(conns[0])})
	if err == nil || !strings.Contains(err.Error(), "another program has the port") {
		t.Errorf("got %v, want that another program has the port", err)
	}
	_, err = Listen([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")})
	if err == nil || !strings.Contains(err.Error(), "this machine does not have the address") {
		t.Errorf("got %v, want that the machine does not have the address", err)
	}
}

// aloneDirector listens for n nodes, and writes how much processor time it has used for each line that it reads.
func aloneDirector(n int) {
	conns, err := Listen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		panic(err)
	}
	r, err := NewReceiver(ReceiverConfig{Name: "d1"}, testKey, conns, quiet())
	if err != nil {
		panic(err)
	}
	if err := r.SetNodes(nodeNames(n)); err != nil {
		panic(err)
	}
	go r.Run(context.Background())
	fmt.Println(addrOf(conns[0]))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			panic(err)
		}
		fmt.Println(u.Utime.Nano()+u.Stime.Nano(), u.Nvcsw, len(r.List()))
	}
}

func nodeNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("t%d", i))
	}
	return names
}

// BenchmarkDirector is the cost of control on a director (one operation is an interval of 200 ms): 100 nodes report to it
// over loopback, and it is alone in its process.
func BenchmarkDirector(b *testing.B) {
	const nodes = 100
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("REPORT_TEST_NODES=%d", nodes))
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	read := func() string {
		if !lines.Scan() {
			b.Fatal("the director has died")
		}
		return lines.Text()
	}
	used := func() (ns, sleeps, listed int64) {
		fmt.Fprintln(in)
		if _, err := fmt.Sscan(read(), &ns, &sleeps, &listed); err != nil {
			b.Fatal(err)
		}
		return ns, sleeps, listed
	}
	at := read()
	var stops []func()
	for i, name := range nodeNames(nodes) {
		r := reporter(b, testKey, name, cluster.Index(1000+i), loopback(b, "127.0.0.1"), at)
		r.SetPools([]string{"web"})
		stops = append(stops, start(b, r.Run))
		time.Sleep(interval / nodes) // as nodes are: not all at the same moment
	}
	time.Sleep(2 * interval)
	before, slept, listed := used()
	if listed != nodes {
		b.Fatalf("the director lists %d nodes, want %d", listed, nodes)
	}
	b.ResetTimer()
	for range b.N {
		time.Sleep(interval)
	}
	after, sleeps, _ := used()
	b.ReportMetric(100*float64(after-before)/float64(b.Elapsed().Nanoseconds()), "%core")
	b.ReportMetric(float64(after-before)/float64(b.N)/nodes, "cpu-ns/report")
	b.ReportMetric(float64(sleeps-slept)/b.Elapsed().Seconds(), "sleeps/s")
	for _, stop := range stops {
		stop()
	}
}

// BenchmarkTake is what one report costs without the system calls.
func BenchmarkTake(b *testing.B) {
	w := newNetwork()
	l := receiver(b, w.listen(d1), "t1")
	l.cfg.Heard = func(cluster.Load) {}
	n := reporter(b, testKey, "t1", 1, w.listen("10.0.0.11:1"), d1)
	n.SetPools([]string{"web"})
	from := netip.MustParseAddrPort("10.0.0.11:1")
	d := l.party.Peer("t1")
	b.ReportAllocs()
	for b.Loop() {
		n.plain, _ = (&message{load: n.load(), ram: 1}).append(n.plain[:0], 1000)
		n.out, _ = n.directors[0].peer.Seal(n.out[:0], n.plain)
		call := l.open(0, n.out, from)
		if call == nil {
			b.StopTimer()
			out, _ := d.Seal(nil, beacon{}.append(nil))
			n.party.Open(out)
			b.StartTimer()
			continue
		}
		call()
	}
}
