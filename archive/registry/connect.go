package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// userAgent is how a registry's log names this program.
const userAgent = "archprune"

// deleteScope is what token servers call the right to delete.
const deleteScope = "delete"

// conn reaches one registry. Requests for each repository and right go by a
// transport of their own, since a registry's tokens are for these.
type conn struct {
	registry name.Registry
	keychain authn.Keychain
	base     *http.Transport
	patient  *retrier

	mu         sync.Mutex
	transports map[string]http.RoundTripper
}

func newConn(host string, opts Options) (*conn, error) {
	plain := opts.Insecure || opts.CA == "" && loopback(host)
	var nameOpts []name.Option
	if plain {
		nameOpts = append(nameOpts, name.Insecure)
	}
	registry, err := name.NewRegistry(host, nameOpts...)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := tlsFor(registry.RegistryStr(), opts)
	if err != nil {
		return nil, err
	}
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 20 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 5 * time.Minute, // to commit a large blob takes a registry long
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		DisableCompression:    true, // a blob is what its digest says
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 30 * time.Second},
	}
	var inner http.RoundTripper = bounds{base, cmp.Or(opts.Idle, DefaultIdle)}
	if !plain {
		inner = onlyTLS{inner}
	}
	keychain := opts.Keychain
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	return &conn{registry: registry, keychain: keychain, base: base,
		patient: newRetrier(inner, opts.Patience), transports: map[string]http.RoundTripper{}}, nil
}

// loopback reports whether a registry is on this very host, where docker too
// speaks plain HTTP unasked.
func loopback(hostPort string) bool {
	host := (&url.URL{Host: hostPort}).Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// errPlain is about a registry that does not speak TLS.
var errPlain = errors.New("plain HTTP is not allowed without --insecure-registry")

// onlyTLS keeps credentials and content off the wire in the clear, also where
// go-containerregistry would try plain HTTP (private networks) and where a
// registry redirects there.
type onlyTLS struct{ inner http.RoundTripper }

func (o onlyTLS) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, errPlain
	}
	return o.inner.RoundTrip(req)
}

func tlsFor(hostPort string, opts Options) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if opts.CA != "" {
		pem, err := os.ReadFile(opts.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the registry's CA: %w", err)
		}
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			config.RootCAs = x509.NewCertPool()
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the registry's CA: %s has no certificate in PEM form", opts.CA)
		}
	}
	if opts.Insecure {
		trustHost(config, (&url.URL{Host: hostPort}).Hostname())
	}
	return config, nil
}

// trustHost takes any certificate of one host. Others, such as a token server
// or a store of blobs that a registry redirects to, must have good ones.
func trustHost(config *tls.Config, host string) {
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		isIP := net.ParseIP(host) != nil
		if strings.EqualFold(cs.ServerName, host) || isIP && cs.ServerName == "" {
			return nil
		}
		intermediates := x509.NewCertPool()
		for _, c := range cs.PeerCertificates[1:] {
			intermediates.AddCert(c)
		}
		_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
			DNSName: cs.ServerName, Roots: config.RootCAs, Intermediates: intermediates})
		return err
	}
}

// transport returns what sends requests that need a right to a repository, and
// to others that they read from.
func (c *conn) transport(ctx context.Context, repo name.Repository, right string, from ...name.Repository) (http.RoundTripper, error) {
	scopes := []string{repo.Scope(right)}
	for _, f := range from {
		scopes = append(scopes, f.Scope(transport.PullScope))
	}
	key := strings.Join(scopes, " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.transports[key]; t != nil {
		return t, nil
	}
	auth, err := authn.Resolve(ctx, c.keychain, repo)
	if err != nil {
		return nil, fmt.Errorf("looking up the credentials for %s: %w", c.registry, err)
	}
	t, err := transport.NewWithContext(ctx, c.registry, auth, transport.NewUserAgent(c.patient, userAgent), scopes)
	if err != nil {
		return nil, c.explain(err)
	}
	c.transports[key] = t
	return t, nil
}

// client is for requests that go-containerregistry has no call for.
func (c *conn) client(ctx context.Context, repo name.Repository, right string, from ...name.Repository) (*http.Client, error) {
	t, err := c.transport(ctx, repo, right, from...)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t}, nil
}

// remote are the options for go-containerregistry's calls. Retrying is ours.
func (c *conn) remote(ctx context.Context, repo name.Repository, right string) ([]remote.Option, error) {
	t, err := c.transport(ctx, repo, right)
	if err != nil {
		return nil, err
	}
	return []remote.Option{remote.WithContext(ctx), remote.WithTransport(t),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1})}, nil
}
