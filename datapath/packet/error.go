package packet

import "errors"

// What can be in the way of dispatch in the kernel. The errors that wrap these name the thing, and say what to do.
var (
	ErrRights   = errors.New("no right to do this")
	ErrKernel   = errors.New("the kernel cannot do this")
	ErrNoXDP    = errors.New("the port cannot run XDP programs")
	ErrNoPort   = errors.New("no such port")
	ErrForeign  = errors.New("an XDP program that is not ours is attached")
	ErrFull     = errors.New("a table is full")
	ErrNoBPFFS  = errors.New("not on a bpffs")
	ErrInUse    = errors.New("another process uses these pins")
	ErrConflict = errors.New("the services contradict each other")
)
