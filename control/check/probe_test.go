package check

import (
	"cmp"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// probe asks once and returns the reason, empty for a success.
func probe(t *testing.T, cfg Config, target netip.AddrPort) string {
	t.Helper()
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	c, err := New(cfg, target, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeout(t.Context(), cfg.Timeout)
	defer cancel()
	if err := c.probe(ctx); err != nil {
		return err.Error()
	}
	return ""
}

func addr(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// closed is an address at which nobody listens.
func closed(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return addr(l.Addr())
}

// application answers as its path says.
func application(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ok":
		fmt.Fprint(w, "all is ok")
	case "/echo":
		fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.Host, r.URL.RequestURI(), r.UserAgent(), r.Header.Get("X-A"))
	case "/moved":
		http.Redirect(w, r, "/gone", http.StatusFound)
	case "/long":
		_, _ = io.WriteString(w, strings.Repeat("x", bodyLimit)+"ok") // the check reads less
	case "/short":
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "ok")
	case "/cut":
		panic(http.ErrAbortHandler)
	case "/hang":
		<-r.Context().Done()
	default:
		http.Error(w, "no", http.StatusInternalServerError)
	}
}

func TestHTTP(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(application))
	defer s.Close()
	at := addr(s.Listener.Addr())
	for _, test := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"ok", Config{Path: "/ok"}, ""},
		{"body", Config{Path: "/ok", Body: "is ok"}, ""},
		{"wrong body", Config{Path: "/ok", Body: "well"}, `body of 9 bytes lacks "well"`},
		{"long body", Config{Path: "/long", Body: "ok"}, `body lacks "ok" in its first 65536 bytes`},
		{"short body", Config{Path: "/short"}, "body breaks off after 2 bytes: connection was closed before the end of the answer"},
		{"status", Config{Path: "/"}, "status 500, want 200-399"},
		{"statuses", Config{Path: "/", Status: []Range{{200, 200}, {300, 303}}}, "status 500, want 200 or 300-303"},
		{"wanted status", Config{Path: "/", Status: []Range{{500, 500}}}, ""},
		{"redirect is not followed", Config{Path: "/moved", Status: []Range{{302, 302}}}, ""},
		{"cut", Config{Path: "/cut"}, "connection was closed before the end of the answer"},
		{"request", Config{
			Path: "/echo?q=1", Method: "POST", Host: "shop.example", Headers: map[string]string{"X-A": "b"},
			Body: "POST shop.example /echo?q=1 muster-check b",
		}, ""},
		{"host among the headers", Config{Path: "/echo", Headers: map[string]string{"host": "a.example"}, Body: "GET a.example /echo"}, ""},
		{"no host", Config{Path: "/echo", Body: "GET " + at.String() + " /echo"}, ""},
		{"hang", Config{Path: "/hang", Timeout: 50 * time.Millisecond}, "no answer within 50ms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.cfg.Kind = HTTP
			if got := probe(t, test.cfg, at); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestEnvironmentsProxyIsNotUsed(t *testing.T) {
	t.Setenv("http_proxy", "http://"+closed(t).String())
	s := httptest.NewServer(http.HandlerFunc(application))
	defer s.Close()
	if got := probe(t, Config{Kind: HTTP, Path: "/ok", Host: "shop.example"}, addr(s.Listener.Addr())); got != "" {
		t.Errorf("got %q, want an answer", got)
	}
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(application))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // of certificates that the check refuses
	s.StartTLS()
	defer s.Close()
	at := addr(s.Listener.Addr())
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"any certificate", Config{}, ""},
		{"trusted", Config{Verify: true, CAFile: ca}, ""},
		{"trusted for the host", Config{Verify: true, CAFile: ca, Host: "example.com:443"}, ""},
		{"unknown signer", Config{Verify: true}, "certificate is not trusted: x509: certificate signed by unknown authority"},
		{
			"another name",
			Config{Verify: true, CAFile: ca, ServerName: "shop.test"},
			"certificate is not trusted: x509: certificate is valid for example.com, *.example.com, not shop.test",
		},
		{"status", Config{Path: "/"}, "status 500, want 200-399"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.cfg.Kind = HTTPS
			test.cfg.Path = cmp.Or(test.cfg.Path, "/ok")
			if got := probe(t, test.cfg, at); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	plain := httptest.NewServer(http.HandlerFunc(application))
	defer plain.Close()
	if got, want := probe(t, Config{Kind: HTTPS}, addr(plain.Listener.Addr())), "the answer is not TLS"; got != want {
		t.Errorf("of a plain server: %q, want %q", got, want)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if got := probe(t, Config{}, addr(l.Addr())); got != "" {
		t.Errorf("of a listener: %q, want success", got)
	}
	at := closed(t)
	for _, kind := range []Kind{TCP, HTTP, HTTPS} {
		if got, want := probe(t, Config{Kind: kind}, at), "connect to "+at.String()+": connection refused"; got != want {
			t.Errorf("%s of a closed port: %q, want %q", kind, got, want)
		}
	}
}

func TestExec(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"well", "exit 0", ""},
		{"reason", "echo first; echo the disk is full >&2; echo; exit 1", "the disk is full"},
		{"no reason", "exit 3", "/bin/sh: exit status 3"},
		{"killed", "kill -9 $$", "/bin/sh: signal: killed"},
		{"target", `[ "$MUSTER_ADDRESS:$MUSTER_PORT" = 127.0.0.1:80 ]`, ""},
		{"unprintable", `printf 'a\033[1mb\377\n'; exit 1`, "a [1mb"},
		{"long line", `i=0; while [ $i -lt 200 ]; do printf abcdefghij; i=$((i+1)); done; exit 1`, strings.Repeat("abcdefghij", 200)[2000-tailSize:]},
		{"hang", "sleep 1000 & wait", "/bin/sh: not done within 100ms"},
		{"leaves a child behind", "sleep 1000 & exit 0", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := Config{Kind: Exec, Command: []string{"/bin/sh", "-c", test.script}}
			if test.name == "hang" {
				cfg.Timeout = 100 * time.Millisecond
			}
			if got := probe(t, cfg, target); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	cfg := Config{Kind: Exec, Command: []string{"/no/program"}}
	if got, want := probe(t, cfg, target), "start /no/program: there is no such file"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
