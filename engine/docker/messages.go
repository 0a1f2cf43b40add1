package docker

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/archprune/archprune/engine"
)

const (
	maxMessage = 1 << 20 // bytes of one message
	maxReason  = 2000    // bytes that are told of one error
	maxErrors  = 16      // that are told of one answer
)

// message is one of an engine's answer to a load, a push or an import.
type message struct {
	Stream      string `json:"stream"`
	Status      string `json:"status"`
	Error       string `json:"error"`
	ErrorDetail *struct {
		Message string `json:"message"`
	} `json:"errorDetail"`
}

func (m message) err() error {
	switch {
	case m.ErrorDetail != nil && m.ErrorDetail.Message != "":
		return reported(m.ErrorDetail.Message)
	case m.ErrorDetail != nil || m.Error != "":
		return fmt.Errorf("the engine reports an error: %s", short(m.Error))
	}
	return nil
}

// collected is what containerd says where its garbage collection, started by
// somebody's removal of an image, took a layer that it was to build on.
var collected = regexp.MustCompile(`parent snapshot \S+ does not exist`)

func reported(reason string) error {
	err := errors.New(short(reason))
	if collected.MatchString(reason) {
		return &answerError{engine.ErrCollected, err}
	}
	return err
}

func short(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return reason[:maxReason] + "…"
}

// decodeMessages reads an engine's answer to its end, shows each message, and
// returns the errors in it.
func decodeMessages(r io.Reader, show func(message)) error {
	var errs []error
	in := &messageReader{r: r, left: maxMessage}
	for dec := json.NewDecoder(in); ; in.left = maxMessage {
		var m message
		err := dec.Decode(&m)
		if err == io.EOF {
			return errors.Join(errs...)
		}
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("reading the engine's answer: %w", cmp.Or(in.err, err)))...)
		}
		if err := m.err(); err != nil && len(errs) < maxErrors {
			errs = append(errs, err)
		}
		if show != nil {
			show(m)
		}
	}
}

// messageReader fails where a message, which a decoder holds in memory, is too
// long.
type messageReader struct {
	r    io.Reader
	left int // bytes until then
	err  error
}

func (m *messageReader) Read(b []byte) (int, error) {
	if m.left <= 0 {
		m.err = fmt.Errorf("a message of more than %d bytes", maxMessage)
		return 0, m.err
	}
	n, err := m.r.Read(b[:min(len(b), m.left)])
	m.left -= n
	return n, err
}
