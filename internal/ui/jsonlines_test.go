package ui

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestJSONLines(t *testing.T) {
	var out strings.Builder
	enc := NewJSONLines(&out)
	type event struct {
		Image string    `json:"image"`
		Size  int64     `json:"size"`
		At    time.Time `json:"at"`
		Note  string    `json:"note,omitempty"`
	}
	for _, c := range []struct {
		kind string
		v    any
	}{
		{"archived", event{Image: "<none>", Size: 12, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
		{"failed", &event{Image: "a\x1b\u202e", Note: "x\ny"}},
		{"summary", map[string]any{"b": 1, "a": []string{"x"}}},
		{"start", nil},
		{"empty", struct{}{}},
	} {
		if err := enc.Write(c.kind, c.v); err != nil {
			t.Errorf("Write(%q, %v) = %v", c.kind, c.v, err)
		}
	}
	want := `{"message_type":"archived","image":"<none>","size":12,"at":"2026-01-02T03:04:05Z"}
{"message_type":"failed","image":"a\u001b\u202e","size":0,"at":"0001-01-01T00:00:00Z","note":"x\ny"}
{"message_type":"summary","a":["x"],"b":1}
{"message_type":"start"}
{"message_type":"empty"}
`
	if got := out.String(); got != want {
		t.Errorf("lines are\n%s\nwant\n%s", got, want)
	}
}

func TestJSONLinesRefusesWhatIsNoObject(t *testing.T) {
	var out strings.Builder
	enc := NewJSONLines(&out)
	for _, v := range []any{1, "x", []int{1}, (*struct{})(nil), make(chan int), map[string]int{"message_type": 1}} {
		if err := enc.Write("x", v); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("Write of a %T = %v, want a one-line error", v, err)
		}
	}
	if out.Len() > 0 {
		t.Errorf("%q was written", out.String())
	}
	if err := NewJSONLines(failingWriter{}).Write("x", nil); !errors.Is(err, errDisk) {
		t.Errorf("Write to a full disk = %v, want %v", err, errDisk)
	}
}

func TestJSONLinesFromManyGoroutines(t *testing.T) {
	r, w := io.Pipe()
	var wg sync.WaitGroup
	enc := NewJSONLines(w)
	for i := range 20 {
		wg.Go(func() { _ = enc.Write("n", map[string]int{"i": i}) })
	}
	go func() { wg.Wait(); w.Close() }()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if line := fmt.Sprintf("{\"message_type\":\"n\",\"i\":%d}\n", i); !strings.Contains(string(all), line) {
			t.Errorf("line %q is missing or broken", line)
		}
	}
}

func TestWriteJSONIsHarmlessOnATerminal(t *testing.T) {
	var out strings.Builder
	if err := WriteJSON(&out, map[string]string{"<none>": "a\x1b\u202e\u009b\x7f\n"}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "{\n  \"<none>\": \"a\\u001b\\u202e\\u009b\\u007f\\n\"\n}\n"; got != want {
		t.Errorf("document = %q, want %q", got, want)
	}
	if err := WriteJSON(failingWriter{}, 1); !errors.Is(err, errDisk) {
		t.Errorf("WriteJSON to a full disk = %v, want %v", err, errDisk)
	}
}
