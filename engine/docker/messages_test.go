package docker

import (
	"io"
	"strings"
	"testing"
)

// repeating is an answer that goes on for ever.
type repeating struct {
	part string
	rest string
	read int
}

func (e *repeating) Read(b []byte) (int, error) {
	if e.rest == "" {
		e.rest = e.part
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	e.read += n
	return n, nil
}

func TestEndlessMessage(t *testing.T) {
	e := &repeating{part: "x", rest: `{"stream":"`}
	err := decodeMessages(e, nil)
	if err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("decodeMessages() = %v, want that the message is too long", err)
	}
	if e.read > 2*maxMessage {
		t.Errorf("%d bytes of it were read", e.read)
	}
}

// A run of errors is told in part, whatever their number and length.
func TestManyErrors(t *testing.T) {
	one := `{"errorDetail":{"message":"` + strings.Repeat("x", 100_000) + `"}}`
	shown := 0
	err := decodeMessages(io.LimitReader(&repeating{part: one}, int64(1000*len(one))), func(message) { shown++ })
	if err == nil || len(err.Error()) > maxErrors*(maxReason+10) || shown != 1000 {
		t.Errorf("%d messages, and an error of %d bytes", shown, len(err.Error()))
	}
}

// FuzzMessages: an answer has an error exactly if it is broken, or if one of its
// messages is one, and what is told of it is bounded.
func FuzzMessages(f *testing.F) {
	for _, seed := range []string{"", `{"stream":"Loaded image: a"}{"status":"b"}`, `{"errorDetail":{"message":"c"},"error":"c"}` + "\r\n",
		`{"error":"d"} x`, `{"errorDetail":{}}`, "[]", "{\"stream\":", strings.Repeat(`{"aux":`, 20_000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		failed := false
		err := decodeMessages(strings.NewReader(answer), func(m message) { failed = failed || m.err() != nil })
		if failed && err == nil {
			t.Errorf("the error in %q was lost", answer)
		}
		if !failed && err != nil && !strings.HasPrefix(err.Error(), "reading the engine's answer: ") {
			t.Errorf("decodeMessages(%q) = %v", answer, err)
		}
		if err != nil && len(err.Error()) > (maxErrors+1)*(maxReason+100) {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}
