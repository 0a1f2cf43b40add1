package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// say writes a message of each level.
func say(m *Messages) {
	m.Debug("detail")
	m.Info("serving /a on http://127.0.0.1:5000")
	m.Warn("a\x1b[2Jlabel of \u202eevil")
	m.Error("getting https://robot:s3cret@registry.example.com/v2/: refused", "err", errors.New("x://u:p4ss@h\n"))
}

func TestPlainMessages(t *testing.T) {
	var out bytes.Buffer
	say(NewMessages(&out, LogPlain, slog.LevelInfo))
	const want = `serving /a on http://127.0.0.1:5000
archprune: warning: a\x1b[2Jlabel of \u202eevil
archprune: getting https://robot:xxxxx@registry.example.com/v2/: refused
`
	if got := out.String(); got != want {
		t.Errorf("messages are\n%swant\n%s", got, want)
	}
}

func TestMessagesBelowTheLevelAreNotWritten(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelDebug: 4, slog.LevelInfo: 3, slog.LevelWarn: 2, slog.LevelError: 1} {
		for _, format := range []LogFormat{LogPlain, LogText, LogJSON} {
			var out bytes.Buffer
			say(NewMessages(&out, format, level))
			if got := strings.Count(out.String(), "\n"); got != want {
				t.Errorf("%s, level %s: %d lines, want %d", format, level, got, want)
			}
		}
	}
}

func TestLogsForMachines(t *testing.T) {
	for _, format := range []LogFormat{LogText, LogJSON} {
		var out bytes.Buffer
		say(NewMessages(&out, format, slog.LevelInfo))
		if got := out.String(); strings.ContainsAny(got, "\x1b\u202e") || strings.Contains(got, "s3cret") || strings.Contains(got, "p4ss") {
			t.Errorf("%s: %q has what must not be shown", format, got)
		}
	}
}

func TestProgressIsLoggedWithItsFigures(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		p := NewMessages(&out, LogJSON, slog.LevelInfo).Progress(ModeAuto)
		task := p.Task("saving demo-api:1.0", 200)
		task.Add(50)
		time.Sleep(5500 * time.Millisecond)
		task.Add(150)
		task.Done("")
		p.Close()
	})
	type line struct {
		Time         time.Time
		Level, Msg   string
		Task         string
		Bytes, Total int64
		Seconds      float64
		Done         bool
	}
	var got []line
	for text := range strings.Lines(out.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if l.Time.IsZero() || l.Level != "INFO" || !strings.HasPrefix(l.Msg, "saving demo-api:1.0: ") {
			t.Errorf("line %q lacks time, level or words", text)
		}
		l.Time, l.Level, l.Msg = time.Time{}, "", ""
		got = append(got, l)
	}
	want := []line{{Task: "saving demo-api:1.0", Bytes: 50, Total: 200, Seconds: 5}, {Task: "saving demo-api:1.0", Bytes: 200, Total: 200, Seconds: 5.5, Done: true}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("lines are %+v, want %+v", got, want)
	}
}

func TestMessagesStandAboveBars(t *testing.T) {
	var out bytes.Buffer
	m := NewMessages(&out, LogPlain, slog.LevelInfo)
	p := newProgress(newBarDisplay(&out, func() (int, int) { return 60, 10 }))
	m.progress.Store(p)
	p.Task("demo-api:1.0", 10)
	m.Warn("beside it")
	p.Close()
	m.Warn("after it")
	if got := out.String(); !strings.Contains(got, "archprune: warning: beside it"+"\n") || !strings.HasSuffix(got, "archprune: warning: after it\n") {
		t.Errorf("the terminal got %q", got)
	}
}

func TestSecretsInAddressesAreNotTold(t *testing.T) {
	for in, want := range map[string]string{
		"https://me:s3cret@example.com/a":                 "https://me:xxxxx@example.com/a",
		"ssh://me@example.com":                            "ssh://me@example.com",
		"tcp://:s3cret@h:2376: refused":                   "tcp://:xxxxx@h:2376: refused",
		`Get "https://s/b?X-Amz-Signature=ab%2F&x=1": e`:  `Get "https://s/b?X-Amz-Signature=xxxxx&x=1": e`,
		"https://s/b?sv=1&sig=abc&X-Amz-Credential=me%2F": "https://s/b?sv=1&sig=xxxxx&X-Amz-Credential=xxxxx",
		"https://s/v2/token?scope=pull&service=r":         "https://s/v2/token?scope=pull&service=r",
		"demo-api:2.3@sha256:0123":                        "demo-api:2.3@sha256:0123",
	} {
		if got := withoutSecrets(in); got != want {
			t.Errorf("withoutSecrets(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseLog(t *testing.T) {
	for in, want := range map[string]LogFormat{"": LogPlain, "plain": LogPlain, "text": LogText, "json": LogJSON} {
		if got, err := ParseLogFormat(in); err != nil || got != want {
			t.Errorf("ParseLogFormat(%q) = %q, %v", in, got, err)
		}
	}
	for in, want := range map[string]slog.Level{"": slog.LevelInfo, "debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got, err := ParseLogLevel(in); err != nil || got != want {
			t.Errorf("ParseLogLevel(%q) = %v, %v", in, got, err)
		}
	}
	if _, err := ParseLogFormat("xml"); err == nil {
		t.Error("ParseLogFormat takes xml")
	}
	for _, in := range []string{"INFO", "warning", "3"} {
		if _, err := ParseLogLevel(in); err == nil {
			t.Errorf("ParseLogLevel takes %q", in)
		}
	}
}
