package role

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"muster/control/check"
	"muster/datapath/serve"
	"muster/ha/supervise"
	"muster/internal/run"
)

// A plan is what a node does for one pool. Two equal plans are the same work, so a reload leaves it alone.
type plan struct {
	Pool   string
	Target netip.AddrPort    // where the application listens
	Serve  *serve.Config     // the built-in web server is the application,
	Run    *supervise.Config // or a program is, or, with neither, something that is not ours
	Check  *check.Config     // nil: it is up while it runs
	Asked  netip.AddrPort    // where the check asks
}

// same says whether the plans are the same work.
func (p plan) same(q plan) bool { return reflect.DeepEqual(p, q) }

// kin says whether an application of plan p can go on under q without being stopped.
func (p plan) kin(q plan) bool {
	if p.Serve == nil || q.Serve == nil || p.Serve.Threads != q.Serve.Threads {
		return false
	}
	p.Serve, p.Check, p.Asked = q.Serve, q.Check, q.Asked
	return p.same(q)
}

// An application is one plan at work: what runs, and the check that asks it.
type application struct {
	log    *slog.Logger
	says   says
	server *serve.Server
	keeper *supervise.Supervisor
	tasks  run.Group

	mu     sync.Mutex
	plan   plan
	check  *check.Check // the one that runs; nil while there is nothing to ask
	silent bool         // it is about to be stopped: what it says of itself does not matter any more
	up     bool
	reason string
	since  time.Time
}

// says is told, from several goroutines, whether an application can be given work, and whether that is new.
type says func(up bool, reason string, turned bool)

// newApplication prepares the plan. A built-in server has its port then; nothing has begun.
func newApplication(p plan, log *slog.Logger, says says) (*application, error) {
	a := &application{plan: p, log: log.With("pool", p.Pool), says: says, reason: starting}
	if p.Check != nil { // whether it can be made is known now, not when the application first runs
		if _, err := check.New(*p.Check, p.Asked, a.log, func(check.Result) {}); err != nil {
			return nil, fmt.Errorf("check of pool %s: %w", p.Pool, err)
		}
	}
	switch {
	case p.Serve != nil:
		var err error
		if a.server, err = serve.New(*p.Serve, a.log); err != nil {
			return nil, fmt.Errorf("application of pool %s: %w", p.Pool, err)
		}
		a.tasks.Start(run.Task{Name: "web server", Run: a.server.Run})
	case p.Run != nil:
		a.keeper = supervise.New(*p.Run, a.log.With("part", "supervise"), a.process)
		a.tasks.Start(run.Task{Name: "process", Run: a.keeper.Run})
	}
	return a, nil
}

// Run runs the application and its check until the context ends.
func (a *application) Run(ctx context.Context) error {
	if a.keeper == nil {
		a.begun() // a process says itself when it has
	}
	return a.tasks.Run(ctx)
}

// process hears what becomes of the application's process. Each process is asked by a check of its own: what the last one
// was found to be says nothing about this one.
func (a *application) process(s supervise.Status) {
	switch s.State {
	case supervise.Running:
		a.begun()
	case supervise.BackingOff:
		a.ended("its process has ended: " + s.Exit)
	case supervise.Stopping, supervise.Stopped:
		a.ended("its process is being stopped")
	}
}

const (
	checkTask = "check"
	starting  = "it is starting"
)

// begun has the application, which runs now, asked whether it answers.
func (a *application) begun() {
	a.mu.Lock()
	p := a.plan
	a.mu.Unlock()
	if p.Check == nil {
		a.tell(true, "")
		return
	}
	c, err := check.New(*p.Check, p.Asked, a.log.With("part", "check"), a.checked)
	if err != nil { // it could be made when the plan was: only the file of trusted certificates can have gone
		a.tell(false, err.Error())
		return
	}
	a.startsNow()
	a.setCheck(c)
	a.tasks.Start(run.Task{Name: checkTask, Run: c.Run})
}

// startsNow gives the reason why an application that is not up is not: no check has had the time to find another.
func (a *application) startsNow() {
	a.mu.Lock()
	news := !a.up && !a.silent
	if news {
		a.reason = starting
	}
	a.mu.Unlock()
	if news {
		a.says(false, starting, false)
	}
}

func (a *application) ended(reason string) {
	a.stopCheck()
	a.tell(false, reason)
}

func (a *application) stopCheck() {
	_ = a.tasks.Stop(checkTask) // a check returns nothing but nil
	a.setCheck(nil)
}

func (a *application) setCheck(c *check.Check) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.check = c
}

func (a *application) checked(r check.Result) {
	if a.keeper != nil {
		if r.Up {
			a.keeper.Well()
		} else {
			a.keeper.Unwell(r.Reason)
		}
	}
	a.tell(r.Up, r.Reason)
}

func (a *application) tell(up bool, reason string) {
	a.mu.Lock()
	if a.silent {
		a.mu.Unlock()
		return
	}
	turned := up != a.up || a.since.IsZero()
	if turned {
		a.since = time.Now()
	}
	a.up, a.reason = up, reason
	a.mu.Unlock()
	a.says(up, reason, turned)
}

// state is what the application has last said.
func (a *application) state() (up bool, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.up, a.reason
}

// leave says that the application takes no more work, the last that it says.
func (a *application) leave(reason string) {
	a.tell(false, reason)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent = true
}

// change takes over a plan of the same kin. No connection notices.
func (a *application) change(p plan) error {
	if !reflect.DeepEqual(*a.plan.Serve, *p.Serve) {
		if err := a.server.Reload(*p.Serve); err != nil {
			return fmt.Errorf("application of pool %s: %w", p.Pool, err)
		}
	}
	a.mu.Lock()
	asked := reflect.DeepEqual(a.plan.Check, p.Check) && a.plan.Asked == p.Asked
	a.plan = p
	a.mu.Unlock()
	if !asked {
		a.stopCheck()
		a.begun()
	}
	return nil
}
