package role

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"muster/cluster"
	"muster/config"
	"muster/console"
)

func TestMain(m *testing.M) {
	if name := os.Getenv("MUSTER_TEST_NODE"); name != "" {
		runMachine(name)
	}
	if page := os.Getenv("MUSTER_TEST_APPLICATION"); page != "" {
		application1(page)
	}
	runtime.GOMAXPROCS(runtime.NumCPU() + 2) // as the program does it
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func TestANodeStopsAndNoRequestFails(t *testing.T) {
	c := found(t, three)
	c.start("t1", "t2", "d1")
	c.become(cluster.Active, "t1", "t2")
	c.under("www", "/", "hello", func() {
		c.stop("t2")
		c.become(cluster.Out, "t2")
		c.start("t2")
		c.become(cluster.Active, "t2")
		c.stop("t1")
	})
	log, err := os.ReadFile(filepath.Join(c.dir, "www.log"))
	if err != nil || !strings.Contains(string(log), `"GET / HTTP/1.1" 200`) {
		t.Errorf("access log: %v\n%.300s", err, log)
	}
}

func TestANodeIsCutOffAndNoRequestFails(t *testing.T) {
	c := found(t, three)
	c.start("t1", "t2", "d1")
	c.become(cluster.Active, "t1", "t2")
	if in, out := c.node("d1").Status().Director.Datagrams, c.node("t1").Status().Traffic.Datagrams; in["accepted"] == 0 || out["accepted"] == 0 {
		t.Errorf("d1 counts reports %v, t1 their answers %v; want some accepted", in, out)
	}
	c.under("www", "/", "hello", func() {
		if err := c.client("t2").Mute(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		c.become(cluster.Out, "t2")
		if err := c.client("t2").Mute(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		c.become(cluster.Active, "t2")
	})
}

func TestADrainSurvivesARestartOfTheDirector(t *testing.T) {
	c := found(t, three)
	c.start("t1", "t2", "d1")
	c.become(cluster.Active, "t1", "t2")
	c.under("www", "/", "hello", func() {
		if err := c.client("d1").Wish(t.Context(), "t1", cluster.Drain, "new disk"); err != nil {
			t.Fatal(err)
		}
		c.become(cluster.Standby, "t1")
	})
	c.stop("d1")
	c.start("d1")
	if got, err := c.get("www", "/"); err != nil || got != "hello" {
		t.Errorf("a director that has just begun answers %q, %v; want it to wait for its nodes", got, err)
	}
	c.become(cluster.Standby, "t1")
	c.become(cluster.Active, "t2")
	if err := c.client("d1").Wish(t.Context(), "t1", cluster.Ready, ""); err != nil {
		t.Fatal(err)
	}
	c.become(cluster.Active, "t1")
	if err := c.client("d1").Wish(t.Context(), "t7", cluster.Drain, ""); err == nil {
		t.Error("a wish for a node that is not there was taken")
	}
}

func TestReloadAddsAndTakesAwayWithoutAFailedRequest(t *testing.T) {
	c := found(t, three)
	c.start("t1", "t2", "d1")
	c.become(cluster.Active, "t1", "t2")
	reload := func() {
		for _, name := range []string{"d1", "t1", "t2"} {
			if err := c.node(name).Reload(); err != nil {
				t.Error(name, err)
			}
		}
	}
	more, service := "pools:\n  more: {nodes: [t1], port: $4, application: {serve: {root: other, threads: 1}}}\n", "\n  more: {listen: [\"127.0.0.1:$5\"], pool: more}\n"
	for i, p := range freePorts(t, 6) {
		more = strings.ReplaceAll(more, "$"+string(rune('0'+i)), itoa(p))
		service = strings.ReplaceAll(service, "$"+string(rune('0'+i)), itoa(p))
	}
	c.under("www", "/", "hello", func() {
		c.edit("pools:\n", more)
		c.edit("services:", "services:"+service)
		reload()
		c.until("the new service answers", func() bool { got, err := c.get("more", "/"); return err == nil && got == "other" })
		c.edit(more, "pools:\n")
		c.edit(service, "")
		c.edit("schedule: rr", "schedule: lc")
		reload()
		if list := c.node("d1").Status().Director.Services; len(list) != 1 || list[0].Schedule != "lc" {
			t.Errorf("got services %+v, want www by lc", list)
		}
		if apps := c.node("t1").Status().Traffic.Applications; len(apps) != 1 {
			t.Errorf("t1 has applications %+v, want one", apps)
		}
	})
	c.under("www", "/index.html", "hello", func() {
		c.edit("root: www", "root: www, listing: true") // the server goes on
		c.edit("127.0.0.12]", "127.0.0.12], weight: 50")
		reload()
		c.edit("root: www, listing: true, threads: 1", "root: www, threads: 2") // it is stopped and started, node after node
		reload()
	})
	if _, err := c.get("more", "/"); err == nil {
		t.Error("the service that was taken away still answers")
	}
}

func TestAWrongFileIsRefusedAndChangesNothing(t *testing.T) {
	c := found(t, three)
	c.start("t1", "d1")
	c.become(cluster.Active, "t1")
	for _, wrong := range []struct{ old, new, why string }{
		{"schedule: rr", "schedule: none", "services.www.schedule"},
		{"roles: [director]", "roles: [director, traffic]", "nodes.d1.roles"},
		{"  d1:", "  d2:", "d1 is no longer among the nodes"},
		{"file: www.log", "file: gone/www.log", "gone"},
		{"key: cluster.key", "key: other.key", "key: "},
		{"cluster: test", "cluster: other", "cluster: test cannot become other"},
		{"127.0.0.1:", "192.0.2.1:", "192.0.2.1"},
	} {
		c.edit(wrong.old, wrong.new)
		before := c.node("d1").Status()
		err := c.node("d1").Reload()
		if err == nil || !strings.Contains(err.Error(), wrong.why) {
			t.Errorf("%s: got %v, want an error with %q", wrong.new, err, wrong.why)
		}
		after := c.node("d1").Status()
		if !strings.Contains(after.File.Problem, wrong.why) {
			t.Errorf("%s: status says %q", wrong.new, after.File.Problem)
		}
		if after.File.Revision != before.File.Revision || after.File.Hash != before.File.Hash {
			t.Errorf("%s: file %+v became %+v", wrong.new, before.File, after.File)
		}
		c.edit(wrong.new, wrong.old)
		if got, err := c.get("www", "/"); err != nil || got != "hello" {
			t.Errorf("%s: afterwards got %q, %v", wrong.new, got, err)
		}
	}
	if err := c.node("d1").Reload(); err != nil {
		t.Error(err)
	}
	if s := c.node("d1").Status(); s.File.Problem != "" || s.File.Revision != 2 {
		t.Errorf("after a good reload: %+v", s.File)
	}
	var problems config.Problems
	c.edit("schedule: rr", "shedule: rr")
	if err := c.node("d1").Reload(); !errors.As(err, &problems) || len(problems) != 1 {
		t.Errorf("got %v, want the one problem of the file", err)
	}
}

func TestAnApplicationThatDiesIsStartedAgain(t *testing.T) {
	c := found(t, strings.Replace(three, "{serve: {root: www, threads: 1}}",
		`{run: {command: ["`+os.Args[0]+`"], env: {MUSTER_TEST_APPLICATION: hello, GOCOVERDIR: /tmp}, backoff-min: 10ms}}`, 1))
	c.edit("  t2: {addresses: [127.0.0.12], roles: [traffic]}", "  t2: {addresses: [127.0.0.12], roles: [traffic], applications: {web: {serve: {root: www, threads: 1}}}}")
	text, err := os.ReadFile(filepath.Join(c.dir, "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(string(text), "    port: ")
	port, _, _ = strings.Cut(port, "\n")
	t.Setenv("MUSTER_TEST_ADDRESS", "127.0.0.11:"+port)
	c.start("t1", "t2", "d1")
	c.become(cluster.Active, "t1", "t2")
	process := func() *console.Process { return c.node("t1").Status().Traffic.Applications[0].Process }
	c.under("www", "/", "hello", func() {
		c.until("its process runs", func() bool { return process().PID > 0 })
		kill(t, process().PID)
		c.until("it has been started again", func() bool { p := process(); return p.Restarts > 0 && p.State == "running" })
		c.become(cluster.Active, "t1")
		c.stop("t1") // its requests finish though the program drops what it has when it is told to stop
	})
}
