// Package run starts a list of tasks from its head and stops it from its tail: the order of the list is the shutdown order.
package run

import (
	"context"
	"errors"
	"fmt"
)

// A Task is something that runs until its context ends. Run returns nil when it was told to stop.
type Task struct {
	Name string
	Run  func(context.Context) error
}

// All runs the tasks until the context ends or one of them returns by itself, which ends the rest. Each task is stopped,
// and waited for, before the one ahead of it in the list is told. It returns what the tasks returned, joined.
func All(ctx context.Context, tasks []Task) error {
	type end struct {
		task int
		err  error
	}
	ends := make(chan end, len(tasks))
	dones := make([]chan struct{}, len(tasks))
	stops := make([]context.CancelFunc, len(tasks))
	for i, t := range tasks {
		// Not a child's cancellation: the tasks stop in order, not all at once.
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		stops[i], dones[i] = stop, make(chan struct{})
		go func() {
			defer close(dones[i])
			err := t.Run(own)
			if err != nil {
				err = fmt.Errorf("%s: %w", t.Name, err)
			} else if own.Err() == nil {
				err = fmt.Errorf("%s: ended by itself", t.Name)
			}
			ends <- end{i, err}
		}()
	}
	var errs []error
	ended := 0
	select {
	case <-ctx.Done():
	case e := <-ends:
		ended++
		errs = append(errs, e.err)
	}
	for i := len(tasks) - 1; i >= 0; i-- {
		stops[i]()
		<-dones[i]
	}
	for ; ended < len(tasks); ended++ {
		if e := <-ends; e.err != nil {
			errs = append(errs, e.err)
		}
	}
	return errors.Join(errs...)
}
