package netset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Sysctl is a value below /proc/sys/net.
type Sysctl struct {
	Name  string `json:"name"` // with slashes, as interfaces may have dots in their names: net/ipv4/conf/all/arp_ignore
	Value string `json:"value"`
	When  When   `json:"when,omitempty"`
	Link  string `json:"link,omitempty"` // the interface that it is of, if it is of one
}

// When says which values other than the wanted one will do.
type When uint8

// The conditions.
const (
	Always  When = iota // none
	AtLeast             // larger numbers
	IfOne               // every value but 1
	// IfOneAll: every value but 1, where the kernel takes the larger of the interface's and of all interfaces'.
	IfOneAll
)

// Conf is a value of one interface, or of "all": net.FAMILY.conf.LINK.NAME, family is ipv4 or ipv6.
func Conf(family, link, name string, value int, when When) Sysctl {
	s := Sysctl{Name: "net/" + family + "/conf/" + link + "/" + name, Value: strconv.Itoa(value), When: when, Link: link}
	if link == "all" {
		s.Link = ""
	}
	return s
}

func (s Sysctl) String() string { return "sysctl -w " + s.shown() + "=" + s.Value }

// Undo is the command that takes it back.
func (s Sysctl) Undo() string { return "sysctl -w " + s.shown() + "=..." }

// shown is the name as people write it.
func (s Sysctl) shown() string {
	if strings.Contains(s.Name, ".") {
		return s.Name // sysctl(8) reads both
	}
	return strings.ReplaceAll(s.Name, "/", ".")
}

func (s Sysctl) key() string  { return "sysctl " + s.Name }
func (s Sysctl) link() string { return s.Link }

func (s Sysctl) valid() error {
	if !strings.HasPrefix(s.Name, "net/ipv") || filepath.Clean(s.Name) != s.Name {
		return fmt.Errorf("%q is no sysctl of the network", s.Name)
	}
	return nil
}

func (s Sysctl) look() (was string, fine bool, err error) {
	if was, err = s.read(); err != nil {
		return "", false, err
	}
	if was == s.Value {
		return was, true, nil
	}
	switch s.When {
	case AtLeast:
		fine = number(was) >= number(s.Value)
	case IfOne:
		fine = was != "1"
	case IfOneAll:
		all := s
		all.Name = filepath.Join(filepath.Dir(filepath.Dir(s.Name)), "all", filepath.Base(s.Name))
		of, err := all.read()
		if err != nil {
			return "", false, err
		}
		fine = max(number(was), number(of)) != 1
	}
	return was, fine, nil
}

func (s Sysctl) read() (string, error) {
	text, err := os.ReadFile("/proc/sys/" + s.Name)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(s.Name, "net/ipv6/") {
		return "", fmt.Errorf("%w: IPv6 is off in this kernel or on this interface", err)
	}
	return strings.TrimSpace(string(text)), err
}

// Exists says whether this kernel has it.
func (s Sysctl) Exists() bool {
	_, err := os.Stat("/proc/sys/" + s.Name)
	return err == nil
}

// number reads a value; what is none is smaller than all.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1 << 31
	}
	return n
}

func (s Sysctl) do() error { return s.write(s.Value) }

func (s Sysctl) undo(was string) error {
	if is, err := s.read(); err != nil || is != s.Value {
		return err // somebody else has set it since: theirs stays
	}
	return s.write(was)
}

func (s Sysctl) write(value string) error {
	return os.WriteFile("/proc/sys/"+s.Name, []byte(value), 0)
}
