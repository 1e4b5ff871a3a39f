package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"muster/cluster"
)

// A Client asks a node's console. Of several places it asks each in turn until one answers.
type Client struct {
	places []place
	token  string
}

// A place is one address of one console, with connections of its own.
type place struct {
	name string // as it was given
	base string
	http *http.Client
}

// The bounds of what a client waits for and reads.
const (
	dialTimeout = time.Second
	askTimeout  = sendTimeout
	answerLimit = 64 << 20
)

// NewClient returns a client of the places, each "unix:PATH" or "HOST:PORT". The token is only needed to change something
// over TCP; see Token.
func NewClient(places []string, token string) *Client {
	c := &Client{token: token}
	for _, name := range places {
		network, addr, base := "tcp", name, "http://"+name
		if path, unix := strings.CutPrefix(name, "unix:"); unix {
			network, addr, base = "unix", path, "http://muster"
		}
		dialer := net.Dialer{Timeout: dialTimeout}
		c.places = append(c.places, place{name, base, &http.Client{
			Timeout: askTimeout,
			Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, addr)
			}, MaxIdleConns: 1, IdleConnTimeout: idleTimeout, MaxResponseHeaderBytes: headLimit},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}})
	}
	return c
}

// Status asks for all that a node knows.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, "GET", "/v1/status", nil)
}

// Ready asks whether the node does its work.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	return ask[Readiness](ctx, c, "GET", "/readyz", nil)
}

// Events asks for the changes of state after the one with that number.
func (c *Client) Events(ctx context.Context, after uint64) ([]Event, error) {
	list, err := ask[struct{ Events []Event }](ctx, c, "GET", "/v1/events?after="+strconv.FormatUint(after, 10), nil)
	return list.Events, err
}

// Wish says what the operator wants of a node.
func (c *Client) Wish(ctx context.Context, node string, wish cluster.Wish, reason string) error {
	_, err := ask[Wish](ctx, c, "POST", "/v1/nodes/"+url.PathEscape(node)+"/wish", Wish{wish, reason})
	return err
}

// Reload makes the node read its file again, and returns what is in effect then.
func (c *Client) Reload(ctx context.Context) (File, error) {
	return ask[File](ctx, c, "POST", "/v1/reload", nil)
}

// Detach has the node begin to take everything of its own out of the kernel and off its machine's network; Status says when it
// is done.
func (c *Client) Detach(ctx context.Context) error {
	_, err := ask[struct{}](ctx, c, "POST", "/v1/detach", nil)
	return err
}

// Mute makes the node stop its load reports, or send them again.
func (c *Client) Mute(ctx context.Context, muted bool) error {
	_, err := ask[struct{}](ctx, c, "POST", "/v1/reports/mute", map[string]bool{"muted": muted})
	return err
}

// ask asks the places in turn. A place that cannot be reached passes the question on; one that has answered, if only that
// it will not, ends it. So does one that went away over a change: it may have made it.
func ask[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var answer T
	if len(c.places) == 0 {
		return answer, errors.New("no node to ask is known; name its address or its socket")
	}
	var errs []string
	for _, p := range c.places {
		err := c.askOne(ctx, p, method, path, body, &answer)
		var refused *Error
		var op *net.OpError
		switch {
		case err == nil:
			return answer, nil
		case ctx.Err() != nil:
			return answer, fmt.Errorf("%s: %w", p.name, ctx.Err())
		case errors.As(err, &refused):
			return answer, fmt.Errorf("%s: %w", p.name, refused)
		}
		errs = append(errs, p.name+": "+plain(err))
		if method != "GET" && !(errors.As(err, &op) && op.Op == "dial") {
			break
		}
	}
	return answer, fmt.Errorf("no node answers: %s", strings.Join(errs, "; "))
}

func (c *Client) askOne(ctx context.Context, p place, method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	if c.token != "" && method != "GET" && !strings.HasPrefix(p.name, "unix:") {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	got, err := p.http.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = got.Body.Close() }() // all of it has been read
	b, err := io.ReadAll(io.LimitReader(got.Body, answerLimit))
	if err != nil {
		return err
	}
	if _, readiness := answer.(*Readiness); got.StatusCode >= 300 && !readiness {
		e := &Error{Status: got.StatusCode}
		if json.Unmarshal(b, e) != nil || e.Text == "" {
			e.Text = "answered " + got.Status + " as no muster does"
		}
		return e
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return &Error{Status: got.StatusCode, Text: "answered as no muster of this version does: " + err.Error()}
	}
	return nil
}

// plain says what went wrong without repeating what was asked.
func plain(err error) string {
	var errno syscall.Errno
	var late net.Error
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &late) && late.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF):
		return "the connection was closed before an answer"
	}
	return err.Error()
}
