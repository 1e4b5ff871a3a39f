package console

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"muster/cluster"
)

func TestClientAsksInTurn(t *testing.T) {
	dead := freePort(t).String()
	server := httptest.NewServer(New(Config{}, Parts{Status: sample}, prometheus.NewRegistry(), quiet).Handler(true))
	defer server.Close()
	alive := server.Listener.Addr().String()

	if s, err := NewClient([]string{"unix:/no/such/socket", dead, alive}, "").Status(t.Context()); err != nil || s.Cluster != "shop" {
		t.Errorf("got %+v, %v; want the status of the one that lives", s, err)
	}
	_, err := NewClient([]string{"unix:/no/such/socket", dead}, "").Events(t.Context(), 0)
	want := "no node answers: unix:/no/such/socket: no such file or directory; " + dead + ": connection refused"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := NewClient(nil, "").Mute(t.Context(), true); err == nil {
		t.Error("a client without places did something")
	}
	// An answer is an answer: the next is not asked.
	err = NewClient([]string{alive, dead}, "").Wish(t.Context(), "t1", cluster.Drain, "")
	if err == nil || err.Error() != alive+": wishes are a director's affair; ask a director" {
		t.Errorf("got %v, want the refusal of the first", err)
	}
}

// TestClientDoesNotAskTwice: who went away over a change may have made it.
func TestClientDoesNotAskTwice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096)) // the request, and then nothing
			_ = c.Close()
		}
	}()
	second := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		second++
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	c := NewClient([]string{l.Addr().String(), server.Listener.Addr().String()}, "")
	if _, err := c.Reload(t.Context()); err == nil || second != 0 {
		t.Errorf("got %v, and the second was asked %d times; want an error and none", err, second)
	}
	if _, err := c.Status(t.Context()); err != nil || second != 1 {
		t.Errorf("got %v, and the second was asked %d times; want its answer", err, second)
	}
}

func TestClientOfSomethingElse(t *testing.T) {
	for _, test := range []struct {
		status     int
		text, want string
	}{
		{404, "<html>", "answered 404 Not Found as no muster does"},
		{200, "<html>", "answered as no muster of this version does"},
		{302, "", "answered 302 Found as no muster does"},
		{403, `{"error":"no","hint":"never"}`, "no; never"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(test.status)
			fmt.Fprint(w, test.text)
		}))
		_, err := NewClient([]string{server.Listener.Addr().String()}, "").Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
		server.Close()
	}
}

func TestToken(t *testing.T) {
	one, other := Token(key), Token([]byte("another key"))
	if one == other || len(one) != 64 || strings.Contains(one, string(key)) || one != Token(key) {
		t.Errorf("tokens %s and %s, want two different ones of 64 digits", one, other)
	}
}
