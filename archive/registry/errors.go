package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/archprune/archprune/archive"
)

// maxMessage bounds what is read of an error's explanation, in bytes.
const maxMessage = 64 << 10

var (
	// ErrNoDeletion means that the registry does not delete.
	ErrNoDeletion = errors.New("the registry does not delete")

	errNotOurs  = errors.New("it was not written by archprune")
	errProtocol = errors.New("the registry does not keep to the protocol")
)

// Error is a request that a registry did not fulfil. It says nothing secret:
// no query of a URL, in which a registry may put a token, and no header.
type Error struct {
	Registry string // host, and port where it has one
	Status   int    // HTTP's; 0 where there was no answer
	reason   string
	err      error
	codes    []transport.ErrorCode
}

func (e *Error) Error() string { return "registry " + e.Registry + ": " + e.reason }

// Unwrap returns what went wrong below HTTP, or [fs.ErrNotExist] where the
// registry has no such thing.
func (e *Error) Unwrap() error { return e.err }

// Is makes [archive.ErrUnavailable] of what says nothing about the archive.
func (e *Error) Is(target error) bool {
	if target != archive.ErrUnavailable {
		return false
	}
	switch e.Status {
	case 0, http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return unavailable(e.Status)
}

// broken is a connection that broke while an answer was read.
func (c *conn) broken(err error) error {
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	return &Error{Registry: c.registry.RegistryStr(), reason: err.Error(), err: err}
}

// explain turns an error of a request into one that a person can act on.
func (c *conn) explain(err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return bare(err)
	}
	e := &Error{Registry: c.registry.RegistryStr(), err: bare(err)}
	var answer *transport.Error
	var unanswered *url.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		e.err = certificate
		e.reason = certificate.Error() + "; --registry-ca FILE names a CA to trust"
	case errors.As(err, &answer):
		e.Status, e.err = answer.StatusCode, nil
		e.reason = answered(answer, e.Registry)
		for _, d := range answer.Errors {
			e.codes = append(e.codes, d.Code)
		}
		if answer.StatusCode == http.StatusNotFound {
			e.err = fs.ErrNotExist
		}
	case errors.Is(err, http.ErrSchemeMismatch):
		e.reason = "it speaks plain HTTP; --insecure-registry allows that"
	case errors.As(err, &unanswered):
		e.reason = e.err.Error()
	default:
		return err // of this program
	}
	return e
}

const (
	maxReasons = 8   // that are told of one answer
	maxReason  = 500 // bytes of each
)

// told is a registry's reason as part of a line.
func told(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(reason, "?"))
}

// answered says what an error answer means.
func answered(a *transport.Error, registry string) string {
	parts := []string{fmt.Sprintf("%d %s", a.StatusCode, http.StatusText(a.StatusCode))}
	for i, d := range a.Errors {
		if i == maxReasons {
			break
		}
		parts = append(parts, told(strings.TrimSuffix(fmt.Sprintf("%s: %s", d.Code, d.Message), ": ")))
	}
	switch a.StatusCode {
	case http.StatusUnauthorized:
		parts = append(parts, fmt.Sprintf("log in by 'docker login %s'", registry))
	case http.StatusForbidden:
		parts = append(parts, fmt.Sprintf("the credentials that docker has for %s do not allow it", registry))
	case http.StatusRequestEntityTooLarge:
		parts = append(parts, "a proxy before the registry limits the size of a request")
	}
	return strings.Join(parts, "; ")
}

// bare takes URLs off an error: their queries may hold tokens.
func bare(err error) error {
	var in *url.Error
	for errors.As(err, &in) {
		err = in.Err
	}
	return err
}

func isNotFound(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// status is that of an answer, or 0.
func status(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// lacksBlob reports whether a manifest was refused for a blob that the registry
// does not see. It may be about to: while another process pushes the same blob,
// Docker's registry loses sight of it.
func lacksBlob(err error) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(e.codes, transport.ManifestBlobUnknownErrorCode)
}

// check returns an error for an answer with none of these codes, and closes
// that.
func (c *conn) check(resp *http.Response, codes ...int) error {
	body := resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, maxMessage), body}
	err := transport.CheckError(resp, codes...)
	if err != nil {
		body.Close()
	}
	resp.Body = body
	return c.explain(err)
}
