package serve

import (
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"muster/datapath/http1"
)

// smallSize is the size up to which a document is kept whole in the cache.
const smallSize = 64 << 10

// A form is a document in one coding, with the heads that it is sent with. It is immutable.
type form struct {
	coding   coding
	name     string // of the file, below the root
	stamp    stamp
	size     int64
	modified int64 // Unix seconds
	etag     string
	ctype    string

	fields     []byte // of a 200, and the empty line
	whole      []byte // fields and body in one, if the body is short
	validators []byte // of a 304 or 206, each with its CRLF
	body       []byte // the document; nil when it is large: then file is not
	file       *file
}

// A found is what a path leads to: a page, or else a status. With 200 and no page it is a directory to be listed.
type found struct {
	page   *page
	status int
	dir    int // descriptor of a directory to be listed
}

// load finds what a canonical path leads to. The caller owns the page's shares in its files, and the directory.
func (s *site) load(path string, now int64) found {
	if !s.Hidden && hidden(path) {
		return found{status: 404}
	}
	rel := path[1:]
	if rel != "" && !strings.HasSuffix(rel, "/") {
		f, status := s.form(rel, identity)
		if f == nil {
			return found{status: status}
		}
		return found{page: s.page(path, f, now)}
	}
	for _, index := range s.Index {
		f, status := s.form(rel+index, identity)
		if f != nil {
			return found{page: s.page(path, f, now)}
		}
		if status != 404 && status != 301 { // a directory by that name is no index
			return found{status: status}
		}
	}
	fd, err := s.tree.open("./" + rel)
	if err != nil {
		return found{status: statusOf(err)}
	}
	if s.Listing {
		return found{status: 200, dir: fd}
	}
	_ = unix.Close(fd) // it was not even read
	return found{status: 403}
}

// page adds to a document the forms that are kept beside it.
func (s *site) page(path string, f *form, now int64) *page {
	p := &page{key: path}
	p.forms[identity] = f
	p.checked.Store(now)
	p.probed.Store(now)
	if _, packed := contentType(f.name); !packed {
		for c := range identity {
			name := f.name + codingSuffix[c]
			if _, err := s.tree.stat(name); err != nil {
				continue // which costs a third of what opening in vain does
			}
			// One that is older than the document is a leftover of an earlier one.
			if g, _ := s.form(name, c); g != nil && g.modified >= f.modified {
				g.ctype = f.ctype
				p.forms[c], p.many = g, true
			} else if g != nil && g.file != nil {
				g.file.release()
			}
		}
	}
	for c, g := range p.forms {
		if g != nil {
			if coding(c) != identity && g.etag == f.etag { // the same second, the same length
				g.etag = g.etag[:len(g.etag)-1] + "-" + codingNames[c] + `"`
			}
			g.write(p.many)
		}
	}
	return p
}

// form opens one file. It returns nil and a status when there is none: 301 for a directory.
func (s *site) form(name string, c coding) (*form, int) {
	for range 3 { // again if it changes while it is read
		fd, err := s.tree.open(name)
		if err != nil {
			return nil, statusOf(err)
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		if kind := st.Mode & unix.S_IFMT; err != nil || kind != unix.S_IFREG {
			_ = unix.Close(fd) // it was not even read
			switch {
			case err != nil:
				return nil, 500
			case kind == unix.S_IFDIR:
				return nil, 301
			}
			return nil, 404 // a device, a FIFO, a socket
		}
		f := &form{coding: c, name: name, stamp: stampOf(&st), size: st.Size}
		f.modified = min(st.Mtim.Sec, time.Now().Unix()) // not in the future (RFC 9110 8.8.2.1)
		f.ctype, _ = contentType(name)
		f.etag = etag(st.Mtim.Sec, st.Size)
		if st.Size > smallSize {
			f.file = newFile(fd)
			return f, 200
		}
		f.body = make([]byte, st.Size)
		err = readAll(fd, f.body)
		after := unix.Fstat(fd, &st)
		_ = unix.Close(fd) // it was only read
		if err == nil && after == nil && stampOf(&st) == f.stamp {
			return f, 200
		}
	}
	return nil, 503
}

func readAll(fd int, b []byte) error {
	for off := 0; off < len(b); {
		n, err := unix.Pread(fd, b[off:], int64(off))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		off += n
	}
	return nil
}

// etag is as nginx makes it, so that a node that runs nginx has the same one for the same file. It is strong.
func etag(modified, size int64) string {
	return `"` + strconv.FormatInt(modified, 16) + "-" + strconv.FormatInt(size, 16) + `"`
}

// wholeSize is the length up to which copying a body behind its head costs less than giving the kernel two buffers.
const wholeSize = 8 << 10

// write makes the heads. With vary the client's Accept-Encoding has had a say.
func (f *form) write(vary bool) {
	v := append([]byte(nil), "Last-Modified: "...)
	v = http1.AppendDate(v, time.Unix(f.modified, 0))
	v = append(v, "\r\nETag: "...)
	v = append(v, f.etag...)
	v = append(v, "\r\n"...)
	if vary {
		v = append(v, "Vary: Accept-Encoding\r\n"...)
	}
	f.validators = v
	b := append([]byte(nil), "Content-Type: "...)
	b = append(b, f.ctype...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, f.size, 10)
	b = append(b, "\r\n"...)
	b = f.appendCoding(b)
	b = append(b, v...)
	b = append(b, "Accept-Ranges: bytes\r\n\r\n"...)
	n := len(b)
	if f.file == nil && f.size <= wholeSize {
		b = append(b, f.body...)
		f.whole, f.body = b, b[n:]
	}
	f.fields = b[:n:n]
}

func (f *form) appendCoding(b []byte) []byte {
	if f.coding == identity {
		return b
	}
	b = append(b, "Content-Encoding: "...)
	b = append(b, codingNames[f.coding]...)
	return append(b, "\r\n"...)
}

const (
	checkEvery = int64(time.Second)      // how long a page is taken for right
	probeEvery = int64(10 * time.Second) // how long absent forms are taken for absent
)

// fresh says whether the page is still right: its files are what they were, or were a moment ago.
func (s *site) fresh(p *page, now int64) bool {
	last := p.checked.Load()
	if now-last < checkEvery {
		return true
	}
	if !p.checked.CompareAndSwap(last, now) {
		return true // another thread looks
	}
	probe := now-p.probed.Load() >= probeEvery
	if probe {
		p.probed.Store(now)
	}
	id := p.forms[identity]
	_, packed := contentType(id.name)
	for c, f := range p.forms {
		if f != nil {
			if st, err := s.tree.stat(f.name); err != nil || st != f.stamp {
				return false
			}
		} else if probe && !packed {
			if st, err := s.tree.stat(id.name + codingSuffix[c]); err == nil && st.mtime.Sec >= id.modified {
				return false
			}
		}
	}
	if probe && strings.HasSuffix(p.key, "/") { // an index that comes before this one
		for _, index := range s.Index {
			if name := p.key[1:] + index; name == id.name {
				break
			} else if _, err := s.tree.stat(name); err == nil {
				return false
			}
		}
	}
	return true
}
