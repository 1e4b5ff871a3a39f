package serve

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func testPage(key string, size int) *page {
	p := &page{key: key}
	p.forms[identity] = &form{coding: identity, body: make([]byte, size)}
	return p
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(100<<10, 3)
	for i := range 1000 {
		c.put(testPage(fmt.Sprint(i), 5000), 1)
		if c.used > c.bytes || len(c.pages) > 20 {
			t.Fatalf("after %d: %d bytes, %d pages", i, c.used, len(c.pages))
		}
	}
	if c.get([]byte("999"), 1) == nil {
		t.Error("the newest is not in it")
	}
	c.put(testPage("huge", 60<<10), 1)
	if c.get([]byte("huge"), 1) != nil {
		t.Error("one page took more than a quarter")
	}
	before := len(c.pages)
	c.put(testPage("999", 5000), 1)
	if len(c.pages) != before {
		t.Error("a page that is replaced is in it twice")
	}
	c.close()
	c.put(testPage("x", 1), 1)
	if len(c.pages) != 0 || c.used != 0 {
		t.Errorf("after its end: %d pages, %d bytes", len(c.pages), c.used)
	}
}

// What is asked for again stays; what was asked for once goes.
func TestCacheKeepsWhatIsAskedFor(t *testing.T) {
	c := newCache(100<<10, 3)
	for i := range 5 {
		c.put(testPage(fmt.Sprint("hot", i), 5000), 1)
	}
	for i := range 500 {
		c.put(testPage(fmt.Sprint(i), 5000), 1)
		for i := range 5 {
			if c.get([]byte(fmt.Sprint("hot", i)), 1) == nil {
				t.Fatalf("hot%d is gone", i)
			}
		}
	}
}

func TestCacheClosesFiles(t *testing.T) {
	c := newCache(1<<20, 2)
	var fds []int
	for range 5 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Dup(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		fds = append(fds, fd)
	}
	for i, fd := range fds {
		p := &page{key: fmt.Sprint(i)}
		p.forms[identity] = &form{coding: identity, file: newFile(fd)}
		c.put(p, int64(i))
		p.release()
	}
	isOpen := func(fd int) bool {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		return err == nil
	}
	open := 0
	for _, fd := range fds {
		if isOpen(fd) {
			open++
		}
	}
	if open != 2 || c.open != 2 {
		t.Errorf("%d files are open, the cache counts %d, want 2", open, c.open)
	}
	p := c.get([]byte("4"), 4)
	if p == nil || !p.forms[identity].file.hold() {
		t.Fatal("the newest is gone")
	}
	c.sweep(10)
	if len(c.pages) != 0 || !isOpen(fds[4]) {
		t.Errorf("%d pages; the file in use is open: %v", len(c.pages), isOpen(fds[4]))
	}
	p.forms[identity].file.release()
	if isOpen(fds[4]) || p.forms[identity].file.hold() {
		t.Error("nobody uses the file, and it is open")
	}
}
