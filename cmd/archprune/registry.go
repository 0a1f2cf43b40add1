package main

import (
	"net/url"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/registry"
)

// registryFlags say how to reach an archive in a registry.
func registryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "insecure-registry", Usage: "allow an archive's registry plain HTTP, and TLS that nobody vouches for"},
		&cli.StringFlag{Name: "registry-ca", Usage: "trust the certificates in `FILE` (PEM) for an archive's registry"},
	}
}

// verifyFlag says what an image's removal rests on where the archive is far.
func verifyFlag() cli.Flag {
	return &cli.StringFlag{Name: "verify", Value: "read", DefaultText: "read",
		Usage: "how to prove what a registry holds: `HOW` is read or head\n" +
			"With read all of it is read back; with head its word for sizes is enough, and the archive notes that."}
}

// headOnly reads --verify.
func headOnly(c *cli.Context, at place) (bool, error) {
	switch c.String("verify") {
	case "", "read":
		return false, nil
	case "head":
		if at.kind != registryPlace {
			return false, usagef("--verify head: that is for a registry; what is in a folder is always read back")
		}
		return true, nil
	}
	return false, usagef("--verify %q: want read or head", c.String("verify"))
}

func parseRegistry(value string) (place, error) {
	at, err := registry.ParseLocation(value)
	if err != nil {
		return place{}, usagef("--archive: %w", err)
	}
	return place{kind: registryPlace, path: at.String(), registry: at}, nil
}

// noPassword hides a password that was typed in a URL: errors end up in logs.
func noPassword(value string) string {
	if u, err := url.Parse(value); err == nil && u.User != nil {
		return u.Redacted()
	}
	return value
}

// testOnlyPatience shortens how long a registry is waited for. Nothing but tests
// sets it.
var testOnlyPatience time.Duration

func registryOptions(c *cli.Context) registry.Options {
	return registry.Options{Insecure: c.Bool("insecure-registry"), CA: c.String("registry-ca"), Patience: testOnlyPatience}
}

func openRegistry(c *cli.Context, at place, opts archive.Options) (*archive.Archive, error) {
	store, err := registry.Open(c.Context, at.registry, registryOptions(c))
	if err != nil {
		return nil, err
	}
	return archive.New(store, opts), nil
}

func createRegistry(c *cli.Context, at place, opts archive.Options) (*archive.Archive, error) {
	store, err := registry.Create(c.Context, at.registry, registryOptions(c))
	if err != nil {
		return nil, err
	}
	return archive.New(store, opts), nil
}

// readBy is how skopeo names an image of an archive.
func readBy(location, reference string) string {
	if at, err := registry.ParseLocation(location); err == nil {
		if image, err := at.Image(reference); err == nil {
			return "docker://" + image
		}
	}
	return "oci:" + location + ":" + reference
}
