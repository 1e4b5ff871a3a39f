package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"muster/config"
	"muster/console"
	"muster/internal/wire"
	"muster/role"
)

// patience is how long one node may take for an answer.
const patience = 3 * time.Second

// A contact is a node that can be asked.
type contact struct {
	name string
	*console.Client
}

// contactsOf are nodes of the file, by its key if this user may read that. A node of this machine is asked by its socket,
// which takes no key.
func contactsOf(f *config.File, nodes []*config.Node) []contact {
	token := ""
	if key, err := wire.ReadKey(f.Key); err == nil {
		token = console.Token(key[:])
	}
	var list []contact
	for _, n := range nodes {
		var places []string
		if socket := role.Socket(f.State, n.Name); canOpen(socket) {
			places = append(places, "unix:"+socket)
		}
		for _, a := range n.AdminAddrs() {
			places = append(places, a.String())
		}
		list = append(list, contact{n.Name, console.NewClient(places, token)})
	}
	return list
}

func canOpen(socket string) bool {
	f, err := os.Stat(socket)
	return err == nil && f.Mode()&os.ModeSocket != 0
}

// told is what came of asking one node.
type told[T any] struct {
	name   string
	answer T
	err    error
}

func askOne[T any](ctx context.Context, c contact, wait time.Duration, ask func(context.Context, contact) (T, error)) told[T] {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answer, err := ask(ctx, c)
	return told[T]{c.name, answer, err}
}

// refused says whether the node has answered, that it will not.
func (t told[T]) refused() bool {
	_, ok := errors.AsType[*console.Error](t.err)
	return ok
}

// directors asks the directors of a file. The one that answered last is asked first.
type directors struct {
	file *config.File
	list []contact
}

func directorsOf(f *config.File) *directors {
	return &directors{f, contactsOf(f, f.Directors())}
}

// any asks the directors in turn until one answers.
func anyOf[T any](ctx context.Context, d *directors, ask func(context.Context, contact) (T, error)) (T, error) {
	var all []told[T]
	for i, c := range d.list {
		t := askOne(ctx, c, patience, ask)
		switch {
		case t.err == nil:
			d.list = slices.Insert(slices.Delete(d.list, i, i+1), 0, c)
			return t.answer, nil
		case t.refused():
			return t.answer, coded{t.err, exitRefused}
		}
		all = append(all, t)
	}
	var none T
	return none, unreachable(d.file, all)
}

// everyOf asks all directors, and gives what each said.
func everyOf[T any](ctx context.Context, d *directors, ask func(context.Context, contact) (T, error)) (answered, silent []told[T]) {
	for _, c := range d.list {
		t := askOne(ctx, c, patience, ask)
		if t.err == nil || t.refused() {
			answered = append(answered, t)
		} else {
			silent = append(silent, t)
		}
	}
	return answered, silent
}

func unreachable[T any](f *config.File, silent []told[T]) error {
	var why []string
	for _, t := range silent {
		why = append(why, t.name+": "+strings.TrimPrefix(t.err.Error(), "no node answers: "))
	}
	return coded{fmt.Errorf("no director of cluster %s answers: %s; start `muster node` there, or see whether this machine reaches them",
		f.Cluster, strings.Join(why, "; ")), exitUnreachable}
}
