package check

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bodyLimit is how much of an answer's body is read.
const bodyLimit = 64 << 10

// dial asks for a connection and no more.
func (c *Check) dial(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.target.String())
	if err != nil {
		return explain(err, c.target, c.cfg.Timeout)
	}
	_ = conn.Close() // nothing was sent
	return nil
}

// newRequest returns a probe that sends a request on a connection of its own and judges the answer. It follows no
// redirect and uses no proxy: what answers is the application and nothing else.
func newRequest(cfg Config, target netip.AddrPort) (func(context.Context) error, error) {
	url := strings.ToLower(string(cfg.Kind)) + "://" + target.String() + cfg.Path
	if !strings.HasPrefix(cfg.Path, "/") {
		return nil, fmt.Errorf("check of %s: the path %q must begin with /", target, cfg.Path)
	}
	sample, err := http.NewRequest(cfg.Method, url, nil)
	if err != nil {
		return nil, fmt.Errorf("check of %s: %w", target, err)
	}
	sample.Host = cfg.Host
	sample.Header.Set("User-Agent", "muster-check")
	for name, value := range cfg.Headers {
		if strings.EqualFold(name, "Host") {
			sample.Host = value // net/http does not take it from the header
		}
		sample.Header.Set(name, value)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", target.String())
		},
		DisableKeepAlives:      true,
		DisableCompression:     true, // the body is looked at as it comes
		MaxResponseHeaderBytes: bodyLimit,
	}
	if cfg.Kind == HTTPS {
		if transport.TLSClientConfig, err = tlsConfig(cfg, target); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) error {
		answer, err := transport.RoundTrip(sample.Clone(ctx))
		if err != nil {
			return explain(err, target, cfg.Timeout)
		}
		defer func() { _ = answer.Body.Close() }() // it is judged by then
		body, err := io.ReadAll(io.LimitReader(answer.Body, bodyLimit))
		switch {
		case !accepted(cfg.Status, answer.StatusCode):
			return fmt.Errorf("status %d, want %s", answer.StatusCode, list(cfg.Status))
		case err != nil:
			return fmt.Errorf("body breaks off after %d bytes: %w", len(body), explain(err, target, cfg.Timeout))
		case !bytes.Contains(body, []byte(cfg.Body)) && len(body) == bodyLimit:
			return fmt.Errorf("body lacks %q in its first %d bytes", cfg.Body, bodyLimit)
		case !bytes.Contains(body, []byte(cfg.Body)):
			return fmt.Errorf("body of %d bytes lacks %q", len(body), cfg.Body)
		}
		return nil
	}, nil
}

func tlsConfig(cfg Config, target netip.AddrPort) (*tls.Config, error) {
	name := cfg.ServerName
	if name == "" {
		name = cfg.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
	}
	c := &tls.Config{ServerName: cmp.Or(name, target.Addr().String()), InsecureSkipVerify: !cfg.Verify}
	if cfg.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("check of %s: read the CA file: %w", target, err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("check of %s: the CA file %s holds no certificate in PEM", target, cfg.CAFile)
	}
	return c, nil
}

func accepted(ranges []Range, status int) bool {
	return slices.ContainsFunc(ranges, func(r Range) bool { return r.First <= status && status <= r.Last })
}

func list(ranges []Range) string {
	var s []string
	for _, r := range ranges {
		s = append(s, r.String())
	}
	return strings.Join(s, " or ")
}

// explain says in a few words, the same for the same trouble, what a probe ran into.
func explain(err error, target netip.AddrPort, timeout time.Duration) error {
	var op *net.OpError
	var late net.Error
	var errno syscall.Errno
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	dialing := errors.As(err, &op) && op.Op == "dial"
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &late) && late.Timeout():
		if dialing {
			return fmt.Errorf("no connection to %s within %v", target, timeout)
		}
		return fmt.Errorf("no answer within %v", timeout)
	case dialing && errors.As(err, &errno):
		return fmt.Errorf("connect to %s: %w", target, errno)
	case errors.As(err, &certificate):
		return fmt.Errorf("certificate is not trusted: %w", certificate.Err)
	case errors.As(err, &notTLS):
		return errors.New("the answer is not TLS")
	case errors.As(err, &errno):
		return fmt.Errorf("connection to %s: %w", target, errno)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("connection was closed before the end of the answer")
	}
	return err
}
