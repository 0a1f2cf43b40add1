package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/signing"
	"github.com/archprune/archprune/internal/ui"
)

const passphraseEnv = "ARCHPRUNE_SIGN_PASSPHRASE"

// trustFlag belongs to every command that reads an archive.
func trustFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "trust-key", EnvVars: []string{"ARCHPRUNE_TRUST_KEY"},
		Usage: "only use what is signed with an SSH key in `FILE`\n" +
			"May be repeated. FILE has public keys, as .pub or allowed_signers files."}
}

// signFlag belongs to every command that adds to an archive.
func signFlag() cli.Flag {
	return &cli.StringFlag{Name: "sign-key", EnvVars: []string{"ARCHPRUNE_SIGN_KEY"},
		Usage: "sign what is archived with the SSH key in `FILE`\n" +
			"With a .pub file, ssh-agent signs. What is not signed with this key, or a --trust-key, is archived anew."}
}

// keys are those that a command was told, read once: a passphrase is asked for
// once.
type keys struct {
	trust *signing.Trust  // nil where none is named
	sign  *signing.Signer // nil where none is named
}

// testOnlyLeaseTerm is shorter than a person would wait. Nothing but tests sets it.
var testOnlyLeaseTerm time.Duration

// readOptions are for an archive that is read.
func (a *app) readOptions(c *cli.Context) (archive.Options, error) {
	opts := archive.Options{GroupReadable: c.Bool("group-readable"), Purpose: c.Command.Name, LeaseTerm: testOnlyLeaseTerm}
	trust, err := a.trust(c)
	if trust != nil {
		opts.Trust = trust.Check
	}
	return opts, err
}

// writeOptions are for an archive that is added to. Where it is to be signed,
// its reader will trust that key, so that what is not signed with it must not
// pass for archived.
func (a *app) writeOptions(c *cli.Context) (archive.Options, error) {
	opts, err := a.readOptions(c)
	if err != nil {
		return opts, err
	}
	signer, err := a.signer(c)
	if signer != nil {
		opts.Sign = signer.Sign
		if opts.Trust == nil {
			opts.Trust = signer.Trust().Check
		}
	}
	return opts, err
}

// trust reads the keys of --trust-key.
func (a *app) trust(c *cli.Context) (*signing.Trust, error) {
	files := c.StringSlice("trust-key")
	if a.keys.trust != nil || len(files) == 0 {
		return a.keys.trust, nil
	}
	trust, err := signing.NewTrust(files...)
	if err != nil {
		return nil, usagef("--trust-key: %w", err)
	}
	a.keys.trust = trust
	return trust, nil
}

// signer reads the key of --sign-key. A run must not write what it would not
// trust itself.
func (a *app) signer(c *cli.Context) (*signing.Signer, error) {
	file := c.String("sign-key")
	if a.keys.sign != nil || file == "" {
		return a.keys.sign, nil
	}
	trust, err := a.trust(c)
	if err != nil {
		return nil, err
	}
	signer, err := signing.NewSigner(file, signing.SignerOptions{
		Agent:      os.Getenv("SSH_AUTH_SOCK"),
		Passphrase: func() ([]byte, error) { return a.passphrase(c.Context, file) },
	})
	if errors.Is(err, context.Canceled) {
		return nil, err
	}
	if err != nil {
		return nil, usagef("--sign-key: %w", err)
	}
	if trust != nil {
		if err := trust.Accepts(signer, a.now()); err != nil {
			return nil, usagef("--sign-key %s with --trust-key: what this run signs it would not trust: %w", file, err)
		}
	}
	a.keys.sign = signer
	return signer, nil
}

func (a *app) passphrase(ctx context.Context, file string) ([]byte, error) {
	if s := os.Getenv(passphraseEnv); s != "" {
		return []byte(s), nil
	}
	if !ui.IsTerminal(a.stdin) {
		return nil, fmt.Errorf("%w: set %s, or give the .pub file and have ssh-agent hold the key", signing.ErrNoPassphrase, passphraseEnv)
	}
	return ui.Secret(ctx, a.stdin, a.stderr, "Passphrase of "+file+":")
}
