package standing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"muster/lab/testbed"
)

// A keep is the process that owns a standing lab.
type keep struct {
	name  string
	pid   int
	since time.Time
	lab   *testbed.Lab
}

// A word is what a keep tells who has started it, a line each: what it is doing, and at last that the lab stands or why not.
type word struct {
	Doing string `json:"doing,omitempty"`
	Ready bool   `json:"ready,omitempty"`
	Error string `json:"error,omitempty"`
}

// Keep builds the lab that Start has asked this process for, starts it, and keeps it until the context ends or it is told to
// end it.
func Keep(ctx context.Context, name string) error {
	for _, fd := range []int{toldFile, lockFile} {
		syscall.CloseOnExec(fd) // what it starts has nothing to do with them
	}
	to, lock := os.NewFile(toldFile, "starter"), os.NewFile(lockFile, "lock")
	defer lock.Close()
	plan, err := readPlan()
	if err != nil {
		return err
	}
	tell := json.NewEncoder(to)
	// Whoever listens may have gone: the lab stands all the same.
	plan.Progress = func(text string) { _ = tell.Encode(word{Doing: text}) }
	begun := func() {
		_ = tell.Encode(word{Ready: true})
		_ = to.Close()
	}
	err = keepUp(ctx, name, plan, begun)
	if err != nil {
		_ = tell.Encode(word{Error: err.Error()})
	}
	return err
}

func keepUp(ctx context.Context, name string, plan testbed.Plan, begun func()) error {
	p, err := newPlace(name)
	if err != nil {
		return err
	}
	defer p.remove()
	k := &keep{name: name, pid: os.Getpid(), since: time.Now()}
	if k.lab, err = testbed.Up(ctx, plan); err != nil {
		return err
	}
	defer k.lab.Close()
	_ = os.Remove(p.socket()) // of a lab that was killed
	l, err := net.Listen("unix", p.socket())
	if err != nil {
		return fmt.Errorf("listen for what is to be done: %w", err)
	}
	begun()
	return k.serve(ctx, l)
}

// serve answers until the context ends, or somebody ends the lab.
func (k *keep) serve(ctx context.Context, l net.Listener) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, r *http.Request) {
		s, err := k.state(r.Context())
		answer(w, s, err)
	})
	mux.HandleFunc("POST /act", func(w http.ResponseWriter, r *http.Request) {
		var a Action
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMost)).Decode(&a)
		if err == nil {
			err = a.do(r.Context(), k.lab)
		}
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		end()
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(late) // what is under way then ends with the lab
	})
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

const bodyMost = 1 << 20

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		v = word{Error: err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // whoever asked may have gone
}
