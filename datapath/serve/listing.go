package serve

import (
	"cmp"
	"html"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// listLimit is the most names that a listing has.
const listLimit = 10000

// list makes the page that lists a directory, and closes the descriptor. Directories come first. Links are left out: where
// they lead, and whether that is served, is not looked into.
func list(path string, dir int, hidden bool) ([]byte, error) {
	f := os.NewFile(uintptr(dir), path)
	defer f.Close()
	entries, err := f.ReadDir(listLimit)
	if err != nil && err != io.EOF {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int {
		if a.IsDir() != b.IsDir() {
			if a.IsDir() {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name(), b.Name())
	})
	title := html.EscapeString("Index of " + strings.ToValidUTF8(path, "\uFFFD"))
	b := []byte("<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>" + title + "</title></head>\n<body><h1>" + title + "</h1>\n<table>\n")
	if path != "/" {
		b = append(b, "<tr><td><a href=\"../\">../</a></td></tr>\n"...)
	}
	for _, e := range entries {
		name, size, modified := e.Name(), "", ""
		if !hidden && strings.HasPrefix(name, ".") {
			continue
		}
		if e.IsDir() {
			name += "/"
		} else {
			var st unix.Stat_t
			if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
				continue // gone, or no file
			}
			size, modified = strconv.FormatInt(st.Size, 10), time.Unix(st.Mtim.Sec, 0).UTC().Format(time.DateTime)
		}
		b = append(b, "<tr><td><a href=\"./"...)
		b = appendEscaped(b, name)
		b = append(b, "\">"...)
		b = append(b, html.EscapeString(strings.ToValidUTF8(name, "\uFFFD"))...)
		b = append(b, "</a></td><td>"...)
		b = append(b, modified...)
		b = append(b, "</td><td align=\"right\">"...)
		b = append(b, size...)
		b = append(b, "</td></tr>\n"...)
	}
	return append(b, "</table></body></html>\n"...), nil
}
