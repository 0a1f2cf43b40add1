package ui

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

func TestConfirmTakesOnlyY(t *testing.T) {
	for answer, want := range map[string]bool{
		"y\n": true, "Y\n": true, " y \r\n": true, "y": true,
		"yes\n": false, "n\n": false, "\n": false, "": false, "j\n": false, "yy\n": false,
		strings.Repeat("y", 5000): false,
	} {
		var out strings.Builder
		got, err := Confirm(t.Context(), strings.NewReader(answer), &out, "Remove 3 images?")
		if err != nil || got != want {
			t.Errorf("Confirm with answer %.20q = %v, %v, want %v", answer, got, err, want)
		}
		if want := "Remove 3 images? [y/N] \n"; out.String() != want {
			t.Errorf("Confirm with answer %.20q wrote %q, want %q", answer, out.String(), want)
		}
	}
}

func TestConfirmLeavesTheRestOfTheInput(t *testing.T) {
	in := strings.NewReader("y\nn\ny\n")
	for _, want := range []bool{true, false, true} {
		if got, err := Confirm(t.Context(), in, io.Discard, "Sure?"); err != nil || got != want {
			t.Errorf("Confirm = %v, %v, want %v", got, err, want)
		}
	}
}

func TestConfirmCleansTheQuestion(t *testing.T) {
	var out strings.Builder
	_, _ = Confirm(t.Context(), strings.NewReader(""), &out, "WARNING! evil\x1b[2J\rname\nSure?")
	if want := `WARNING! evil\x1b[2J\rname` + "\nSure? [y/N] \n"; out.String() != want {
		t.Errorf("Confirm wrote %q, want %q", out.String(), want)
	}
}

func TestConfirmEndsWithItsContext(t *testing.T) {
	in, w := io.Pipe() // nobody answers
	defer w.Close()
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	var out strings.Builder
	got, err := Confirm(ctx, silent{in, func() { cancel(interrupted) }}, &out, "Sure?")
	if got || !errors.Is(err, interrupted) {
		t.Errorf("Confirm = %v, %v, want false, %v", got, err, interrupted)
	}
	if want := "Sure? [y/N] \n"; out.String() != want {
		t.Errorf("Confirm wrote %q, want %q", out.String(), want)
	}

	out.Reset()
	if got, err := Confirm(ctx, strings.NewReader("y\n"), &out, "Sure?"); got || err == nil || out.Len() > 0 {
		t.Errorf("Confirm after the end = %v, %v and wrote %q, want false, an error and nothing", got, err, out.String())
	}
}

// silent is an input that nobody types at; it tells when an answer is waited for.
type silent struct {
	io.Reader
	waited func()
}

func (s silent) Read(b []byte) (int, error) {
	s.waited()
	return s.Reader.Read(b)
}

func TestConfirmReportsErrors(t *testing.T) {
	if got, err := Confirm(t.Context(), iotest.ErrReader(errDisk), io.Discard, "Sure?"); got || !errors.Is(err, errDisk) {
		t.Errorf("Confirm of a broken input = %v, %v, want false, %v", got, err, errDisk)
	}
	if got, err := Confirm(t.Context(), strings.NewReader("y\n"), failingWriter{}, "Sure?"); got || !errors.Is(err, errDisk) {
		t.Errorf("Confirm of an unseen question = %v, %v, want false, %v", got, err, errDisk)
	}
}

func TestIsTerminal(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, f := range []any{nil, file, &strings.Builder{}, 3} {
		if IsTerminal(f) {
			t.Errorf("IsTerminal(%T) = true, want false", f)
		}
	}
}
