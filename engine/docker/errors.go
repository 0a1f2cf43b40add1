package docker

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/archprune/archprune/engine"
)

// answerError is an engine's refusal. Its text is the engine's own.
type answerError struct {
	kind error // sentinel of package engine, or nil
	err  error
}

func (e *answerError) Error() string {
	return strings.TrimPrefix(e.err.Error(), "Error response from daemon: ")
}

func (e *answerError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.err}
	}
	return []error{e.kind, e.err}
}

// translate gives an error of the Docker client the meaning that package
// engine has for it.
func (c *Client) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case client.IsErrConnectionFailed(err):
		return &unreachableError{c.endpoint, c.source, err}
	case errdefs.IsNotFound(err):
		return &answerError{engine.ErrNotFound, err}
	case errdefs.IsConflict(err):
		return &answerError{engine.ErrConflict, err}
	}
	return &answerError{err: err}
}

// unreachableError says which engine did not answer, and what named it.
type unreachableError struct {
	endpoint, source string
	err              error
}

// again is what the client's own words for a cause begin with, and where they
// say the address again.
var again = regexp.MustCompile(`error during connect: |permission denied while trying to connect to [^:]* socket at \S+: ` +
	`|(Delete|Get|Head|Post|Put) "[^"]*": |dial (tcp|unix) \S+: (connect: )?`)

func (e *unreachableError) Error() string {
	why := strings.TrimPrefix(e.err.Error(), "Cannot connect to the Docker daemon at "+e.endpoint+". Is")
	if why != e.err.Error() {
		why = "is" + why
	}
	return fmt.Sprintf("%v at %s (%s): %s", engine.ErrUnavailable, e.endpoint, e.source, again.ReplaceAllString(why, ""))
}

func (e *unreachableError) Unwrap() []error { return []error{engine.ErrUnavailable, e.err} }

func endpointError(host string, err error) error {
	return fmt.Errorf("connecting to %s: %w", host, err)
}
