package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"
)

// maxAnswer bounds what is read for one answer; anything longer is a no.
const maxAnswer = 1024

// IsTerminal tells whether f (a file, a standard stream) is a terminal. What
// has no file descriptor is none.
func IsTerminal(f any) bool {
	file, ok := f.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(file.Fd()))
}

// Confirm asks question on out, followed by "[y/N]", and reads one line from
// in. Only y and Y are a yes; everything else, and the end of in, is a no. The
// question may have several lines.
//
// When ctx ends, Confirm returns false and its cause at once. A read can't be
// interrupted: it then goes on in the background and takes the next line of in,
// so the caller should not ask again.
func Confirm(ctx context.Context, in io.Reader, out io.Writer, question string) (bool, error) {
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if _, err := io.WriteString(out, clean(question, "\n")+" [y/N] "); err != nil {
		return false, fmt.Errorf("asking for confirmation: %w", err)
	}
	answer := make(chan reply, 1)
	go func() { answer <- readReply(in) }()

	var got reply
	select {
	case <-ctx.Done():
	case got = <-answer:
	}
	if !got.entered || !IsTerminal(in) {
		// No echo of Enter ended the line of the question.
		_, _ = io.WriteString(out, "\n")
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if got.err != nil {
		return false, fmt.Errorf("reading the answer: %w", got.err)
	}
	return strings.EqualFold(strings.TrimSpace(got.line), "y"), nil
}

type reply struct {
	line    string
	entered bool // ended by a newline
	err     error
}

// readReply reads one line and not a byte more: the rest of a pipe belongs to
// the next question.
func readReply(in io.Reader) reply {
	var line []byte
	for b := make([]byte, 1); len(line) < maxAnswer; {
		n, err := in.Read(b)
		if n == 1 {
			if b[0] == '\n' {
				return reply{line: string(line), entered: true}
			}
			line = append(line, b[0])
		}
		if errors.Is(err, io.EOF) {
			return reply{line: string(line)}
		}
		if err != nil {
			return reply{err: err}
		}
	}
	return reply{}
}

// Secret asks for something that must not be seen, such as a passphrase, at a
// terminal that does not show what is typed.
//
// When ctx ends, Secret returns its cause at once, with the terminal as it was.
func Secret(ctx context.Context, in any, out io.Writer, question string) ([]byte, error) {
	file, ok := in.(interface{ Fd() uintptr })
	if !ok {
		return nil, errors.New("there is no terminal to ask at")
	}
	fd := int(file.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("asking at the terminal: %w", err)
	}
	if _, err := io.WriteString(out, clean(question, "\n")+" "); err != nil {
		return nil, fmt.Errorf("asking at the terminal: %w", err)
	}
	type reply struct {
		secret []byte
		err    error
	}
	answer := make(chan reply, 1)
	go func() {
		secret, err := term.ReadPassword(fd)
		answer <- reply{secret, err}
	}()
	var got reply
	select {
	case <-ctx.Done():
		_ = term.Restore(fd, before) // the run ends anyway
		got.err = context.Cause(ctx)
	case got = <-answer:
	}
	_, _ = io.WriteString(out, "\n") // Enter was not shown
	return got.secret, got.err
}
