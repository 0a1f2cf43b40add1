package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/serve"
)

const (
	// listenDefault is where Docker's own registry listens, on this host alone.
	listenDefault = "127.0.0.1:5000"
	// pullPatience is how long pulls have to end once the command is told to:
	// that long docker stop waits.
	pullPatience = 10 * time.Second
)

func (a *app) serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "give the archive out as a read-only registry",
		Description: `   Any host can then pull archived images, without archprune: docker pull
   ADDR/demo-api:2.3. A name with a registry's host keeps it as its first part:
   ghcr.io/team/tool:v1 is ADDR/ghcr.io/team/tool:v1; the colon of a port
   becomes __: localhost:5000/tool:v1 is ADDR/localhost__5000/tool:v1.

   A tag means its newest archived image, as in restore; older ones are pulled
   by digest. What is saved meanwhile can be pulled at once. Ctrl-C ends it.`,
		Flags: slices.Concat(readFlags(), []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: listenDefault, DefaultText: listenDefault,
				Usage: "where to listen: `ADDR` is HOST:PORT; :5000 is on all of this host's addresses"},
			&cli.StringFlag{Name: "tls-cert", Usage: "serve HTTPS with the certificate in `FILE` (PEM, the leaf first)"},
			&cli.StringFlag{Name: "tls-key", Usage: "the key of --tls-cert in `FILE` (PEM)"},
			&cli.StringFlag{Name: "htpasswd", Usage: "only the users in `FILE` may pull: 'htpasswd -B' makes it"},
			&cli.BoolFlag{Name: "plain-http", Usage: "let passwords come in without TLS from other hosts, as behind a proxy"},
			&cli.BoolFlag{Name: "gzip", Usage: "give out gzip layers in place of zstd ones, for engines before 23.0 and other clients that read no zstd"},
			quietFlag("log only what goes wrong, not each request"),
		}),
		Action: a.serve,
	}
}

func (a *app) serve(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("serve takes no arguments, got %q: --archive names the archive", c.Args().First())
	}
	config, err := tlsConfig(c.String("tls-cert"), c.String("tls-key"))
	if err != nil {
		return err
	}
	users, err := readUsers(c.String("htpasswd"))
	if err != nil {
		return err
	}
	f, err := a.readArchive(c)
	if err != nil {
		return err
	}
	defer f.Close()
	catalog, err := f.Catalog(c.Context)
	if err != nil {
		return err
	}
	l, err := listen(c.Context, c.String("listen"))
	if err != nil {
		return err
	}
	defer l.Close()
	if err := a.checkExposure(c, l.Addr(), config != nil, users != nil); err != nil {
		return err
	}
	out := accessLog{a.log}
	h := serve.New(f, serve.Options{Users: users, Gzip: c.Bool("gzip"), Log: out.access})
	a.announce(f, catalog, l.Addr(), config != nil)
	return serve.Listen(c.Context, l, config, h, pullPatience, log.New(out, "", 0))
}

func tlsConfig(cert, key string) (*tls.Config, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, usagef("--tls-cert and --tls-key go together: give both")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("reading --tls-cert and --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func readUsers(name string) (*serve.Users, error) {
	if name == "" {
		return nil, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading --htpasswd: %w", err)
	}
	defer file.Close()
	users, err := serve.ReadUsers(file)
	if err != nil {
		return nil, usagef("--htpasswd %s: %w", name, err)
	}
	return users, nil
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return nil, usagef("--listen %q: want HOST:PORT, such as %s", addr, listenDefault)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w; --listen names another address", err)
	}
	return l, nil
}

// checkExposure says what other hosts can do, and refuses to have passwords
// sent in the clear.
func (a *app) checkExposure(c *cli.Context, addr net.Addr, secure, users bool) error {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return nil
	}
	if users && !secure && !c.Bool("plain-http") {
		return usagef("--htpasswd without TLS on %s: passwords would go over the network in the clear: give --tls-cert and --tls-key, or --plain-http if a proxy in front does TLS", addr)
	}
	if !users {
		a.warn("everybody who reaches %s can pull every archived image: --htpasswd asks for a password", addr)
	}
	if !secure {
		a.warn("without TLS docker pulls from another host only if its daemon.json names this one in insecure-registries")
	}
	return nil
}

// announce says where to pull from, by an example that works.
func (a *app) announce(f *archive.Archive, catalog *archive.Catalog, addr net.Addr, secure bool) {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	at := reachable(addr)
	a.log.Info(fmt.Sprintf("serving %s on %s://%s", f.Location(), scheme, at))
	if name := examplePull(catalog); name != "" {
		a.log.Info(fmt.Sprintf("pull with: docker pull %s/%s", at, name))
	} else {
		a.log.Info("the archive has no named images yet; what archprune save adds can be pulled at once")
	}
}

// reachable is a listener's address as another host may write it.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		name, _ := os.Hostname()
		host = cmp.Or(name, "localhost")
	}
	return net.JoinHostPort(host, port)
}

// examplePull is the name of the image that was archived last.
func examplePull(catalog *archive.Catalog) string {
	newest := catalog.Newest()
	for _, r := range catalog.Records {
		for _, ref := range slices.Sorted(maps.Keys(newest)) {
			if repo, tag, ok := archive.RepositoryOf(ref); ok && newest[ref] == r {
				return repo + ":" + tag
			}
		}
	}
	return ""
}

// accessLog writes a line for each request.
type accessLog struct{ log *ui.Messages }

func (l accessLog) access(r serve.Access) {
	level := slog.LevelInfo
	if r.Err != nil {
		level = slog.LevelWarn
	}
	l.log.LogAttrs(context.Background(), level, accessLine(r), slog.String("remote", remoteHost(r)), slog.String("method", r.Method),
		slog.String("path", r.Path), slog.Int("status", r.Status), slog.Int64("bytes", r.Bytes), slog.Float64("seconds", r.Took.Seconds()))
}

// remoteHost is who asked.
func remoteHost(r serve.Access) string {
	host, _, err := net.SplitHostPort(r.Remote)
	if err != nil {
		return r.Remote
	}
	return host
}

// accessLine is a request in one line, with what has no place in it left out:
// the header fields, in which a password may be.
func accessLine(r serve.Access) string {
	line := fmt.Sprintf("%s %s %s %s %d %d %s", r.Time.UTC().Format(time.RFC3339), remoteHost(r), r.Method, r.Path, r.Status, r.Bytes,
		r.Took.Round(time.Millisecond))
	if r.Err != nil {
		line += " error: " + oneLine(r.Err)
	}
	return ui.Clean(line)
}

// Write takes a line of the HTTP library, about a connection that came to
// nothing.
func (l accessLog) Write(line []byte) (int, error) {
	l.log.Info(strings.TrimSpace(string(line)))
	return len(line), nil
}
