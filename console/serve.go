package console

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"muster/cluster"
)

// Token is what a client shows to change something over TCP, or to see all. It is derived from the cluster key, which it does not
// betray.
func Token(key []byte) string {
	b, err := hkdf.Key(sha256.New, key, nil, "muster console 1 token", 32)
	if err != nil {
		panic(err) // 32 bytes are never too many
	}
	return hex.EncodeToString(b)
}

// An Error is an answer that is no success.
type Error struct {
	Status int    `json:"-"` // of HTTP
	Text   string `json:"error"`
	Hint   string `json:"hint,omitempty"` // what to do
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Text
	}
	return e.Text + "; " + e.Hint
}

// A route answers one method of one path. What it returns is sent as JSON.
type route struct {
	method, path string
	answer       func(*http.Request) (any, error)
}

func (c *Console) routes(trusted bool) []route {
	return []route{
		{"GET", "/v1/status", func(r *http.Request) (any, error) { return c.show(trusted || c.proven(r)), nil }},
		{"GET", "/v1/events", c.events},
		{"POST", "/v1/nodes/{name}/wish", c.wish},
		{"POST", "/v1/reload", c.reload},
		{"POST", "/v1/reports/mute", c.mute},
		{"POST", "/v1/detach", c.detach},
		{"GET", "/healthz", func(*http.Request) (any, error) { return map[string]bool{"alive": true}, nil }},
		{"GET", "/readyz", func(*http.Request) (any, error) { return c.parts.Status().Ready(), nil }},
	}
}

// Handler answers requests. Whoever is trusted needs no token to change something, or to see all.
func (c *Console) Handler(trusted bool) http.Handler {
	mux := http.NewServeMux()
	paths := []string{"/metrics"}
	figures := promhttp.HandlerFor(c.registry, promhttp.HandlerOpts{})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		if err := allowed(w, r, "GET"); err != nil {
			write(w, nil, err)
			return
		}
		figures.ServeHTTP(w, r)
	})
	for _, route := range c.routes(trusted) {
		paths = append(paths, strings.ReplaceAll(route.path, "{name}", "NAME"))
		mux.HandleFunc(route.path, func(w http.ResponseWriter, r *http.Request) {
			err := allowed(w, r, route.method)
			if err == nil && route.method == "POST" && !trusted {
				err = c.authorize(w, r)
			}
			if err != nil {
				write(w, nil, err)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
			body, err := route.answer(r)
			if route.method == "POST" {
				c.tell(r, err)
			}
			write(w, body, err)
		})
	}
	slices.Sort(paths)
	hint := "there is " + strings.Join(paths, ", ")
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		write(w, nil, &Error{http.StatusNotFound, "there is no " + r.URL.Path, hint})
	})
	return mux
}

// tell logs what an operator has asked for.
func (c *Console) tell(r *http.Request, err error) {
	if err != nil {
		c.log.Warn("asked by an operator, and refused", "path", r.URL.Path, "from", from(r), "error", err)
		return
	}
	c.log.Info("asked by an operator", "path", r.URL.Path, "from", from(r))
}

func from(r *http.Request) string {
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return "the socket"
	}
	return r.RemoteAddr
}

func allowed(w http.ResponseWriter, r *http.Request, method string) error {
	if r.Method == method || method == "GET" && r.Method == "HEAD" {
		return nil
	}
	w.Header().Set("Allow", method)
	return &Error{http.StatusMethodNotAllowed, r.Method + " is not for " + r.URL.Path, "use " + method}
}

func (c *Console) authorize(w http.ResponseWriter, r *http.Request) error {
	if c.token == "" {
		return &Error{http.StatusForbidden, "nothing can be changed over TCP here", "use the Unix socket on the node itself"}
	}
	if c.proven(r) {
		return nil
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	return &Error{
		http.StatusUnauthorized, "to change something takes the cluster's token",
		"use muster with the cluster key, or the Unix socket on the node itself",
	}
}

// proven says whether a request has the token.
func (c *Console) proven(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return c.token != "" && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare([]byte(token), []byte(c.token)) == 1
}

// show is the status, to who may see all of it or to anybody: what applications print is not everybody's.
func (c *Console) show(all bool) Status {
	s := c.status()
	if s.Traffic == nil || all {
		return s
	}
	traffic := *s.Traffic
	traffic.Applications = slices.Clone(traffic.Applications)
	for i, a := range traffic.Applications {
		if a.Process != nil {
			process := *a.Process
			process.Lines = nil
			traffic.Applications[i].Process = &process
		}
	}
	s.Traffic = &traffic
	return s
}

func (c *Console) events(r *http.Request) (any, error) {
	var after uint64
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, &Error{http.StatusBadRequest, fmt.Sprintf("after=%s is no number", text), "give the number of the last event that you have"}
		}
	}
	return map[string][]Event{"events": c.parts.Events.After(after)}, nil
}

// A Wish is what an operator wants of a node.
type Wish struct {
	Wish   cluster.Wish `json:"wish"`
	Reason string       `json:"reason,omitempty"`
}

// reasonLimit is how long a reason may be, in bytes.
const reasonLimit = 256

func (c *Console) wish(r *http.Request) (any, error) {
	if c.parts.Wish == nil {
		return nil, notHere("wishes are a director's affair", "ask a director")
	}
	var ask struct {
		Wish   *cluster.Wish `json:"wish"`
		Reason string        `json:"reason"`
	}
	if err := read(r, &ask); err != nil {
		return nil, err
	}
	switch {
	case ask.Wish == nil:
		return nil, &Error{http.StatusBadRequest, "the request names no wish", `send {"wish": "ready"}, "drain" or "maint"`}
	case len(ask.Reason) > reasonLimit || strings.ContainsFunc(ask.Reason, unicode.IsControl):
		return nil, &Error{http.StatusBadRequest, "the reason is too long, or more than a line", fmt.Sprintf("use one line of up to %d bytes", reasonLimit)}
	}
	name := r.PathValue("name")
	if err := c.known(name); err != nil {
		return nil, err
	}
	if err := c.parts.Wish(name, *ask.Wish, ask.Reason); err != nil {
		return nil, refused(err)
	}
	return Wish{*ask.Wish, ask.Reason}, nil
}

// known says whether the cluster has a node of that name.
func (c *Console) known(name string) error {
	var names []string
	if d := c.parts.Status().Director; d != nil {
		for _, n := range d.Nodes {
			names = append(names, n.Name)
		}
	}
	if slices.Contains(names, name) {
		return nil
	}
	return &Error{http.StatusNotFound, fmt.Sprintf("the cluster has no node %q", name), "its nodes are " + strings.Join(names, ", ")}
}

func (c *Console) reload(*http.Request) (any, error) {
	if c.parts.Reload == nil {
		return nil, notHere("this node does not reload", "")
	}
	if err := c.parts.Reload(); err != nil {
		return nil, refused(err)
	}
	return c.parts.Status().File, nil
}

func (c *Console) mute(r *http.Request) (any, error) {
	if c.parts.Mute == nil {
		return nil, notHere("this node sends no reports", "ask a traffic node")
	}
	var ask struct {
		Muted *bool `json:"muted"`
	}
	if err := read(r, &ask); err != nil {
		return nil, err
	}
	if ask.Muted == nil {
		return nil, &Error{http.StatusBadRequest, "the request does not say whether to mute", `send {"muted": true} or {"muted": false}`}
	}
	if err := c.parts.Mute(*ask.Muted); err != nil {
		return nil, refused(err)
	}
	return map[string]bool{"muted": *ask.Muted}, nil
}

func (c *Console) detach(*http.Request) (any, error) {
	if c.parts.Detach == nil {
		return nil, notHere("this node has nothing in the kernel", "")
	}
	if err := c.parts.Detach(); err != nil {
		return nil, refused(err)
	}
	return map[string]string{"state": Detaching}, nil
}

func notHere(text, hint string) error { return &Error{http.StatusConflict, text, hint} }

// refused is the answer to what was understood and not done.
func refused(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Status: http.StatusUnprocessableEntity, Text: err.Error()}
}

// read reads a body that is one JSON object and nothing else.
func read(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err == nil {
			err = errors.New("there is more after the object")
		}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &Error{http.StatusRequestEntityTooLarge, "the body is too large", fmt.Sprintf("send at most %d bytes", large.Limit)}
	}
	return &Error{http.StatusBadRequest, "the body is not what was expected: " + err.Error(), "send one JSON object"}
}

func write(w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	var e *Error
	switch {
	case errors.As(err, &e):
		status, body = e.Status, e
	case err != nil:
		status, body = http.StatusInternalServerError, &Error{Text: err.Error()}
	default:
		if r, ok := body.(Readiness); ok && !r.Ready {
			status = http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(body) // the client has gone
}
