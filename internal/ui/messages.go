package ui

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
)

// LogFormat is how messages are written.
type LogFormat string

const (
	// LogPlain is for people: the message alone, after the program's name where
	// something is wrong.
	LogPlain LogFormat = "plain"
	// LogText has the time, the level and figures, as key=value.
	LogText LogFormat = "text"
	// LogJSON has the same, as an object on each line.
	LogJSON LogFormat = "json"
)

// ParseLogFormat reads the value of a --log-format flag.
func ParseLogFormat(s string) (LogFormat, error) {
	switch f := LogFormat(s); f {
	case LogPlain, LogText, LogJSON:
		return f, nil
	case "":
		return LogPlain, nil
	}
	return "", fmt.Errorf("unknown log format %q: it is plain, text or json", s)
}

// ParseLogLevel reads the value of a --log-level flag.
func ParseLogLevel(s string) (slog.Level, error) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if s == strings.ToLower(level.String()) {
			return level, nil
		}
	}
	if s == "" {
		return slog.LevelInfo, nil
	}
	return 0, fmt.Errorf("unknown log level %q: it is debug, info, warn or error", s)
}

// Messages is what a command says beside its results, on standard error:
// warnings, errors, notes, and how far it is. All of it goes through one logger,
// cleaned, and without secrets that stand in addresses. While bars are shown a
// message stands above them.
type Messages struct {
	*slog.Logger

	mu       sync.Mutex // held while a line is written, so that lines stay whole
	w        io.Writer
	format   LogFormat
	level    slog.Level
	progress atomic.Pointer[Progress] // the last one with bars
}

// NewMessages writes messages to w.
func NewMessages(w io.Writer, format LogFormat, level slog.Level) *Messages {
	m := &Messages{w: w}
	m.Configure(format, level)
	return m
}

// Configure changes how messages are written, and which: those of a lower level
// are not. It must not be called while others write.
func (m *Messages) Configure(format LogFormat, level slog.Level) {
	m.format, m.level = format, level
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: cleanAttr}
	switch format {
	case LogText:
		m.Logger = slog.New(slog.NewTextHandler(line{m}, opts))
	case LogJSON:
		m.Logger = slog.New(slog.NewJSONHandler(line{m}, opts))
	default:
		m.Logger = slog.New(plainHandler{m})
	}
}

// line takes a line of a logger's.
type line struct{ m *Messages }

func (l line) Write(b []byte) (int, error) {
	if l.m.progress.Load().above(strings.TrimSuffix(string(b), "\n")) {
		return len(b), nil
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return l.m.w.Write(b)
}

// plainHandler writes messages for people, who need no figures beside the words.
type plainHandler struct{ m *Messages }

func (h plainHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.m.level }

func (h plainHandler) Handle(_ context.Context, r slog.Record) error {
	prefix := ""
	switch {
	case r.Level >= slog.LevelError:
		prefix = "archprune: "
	case r.Level >= slog.LevelWarn:
		prefix = "archprune: warning: "
	}
	_, err := io.WriteString(line(h), prefix+cleanMessage(r.Message)+"\n")
	return err
}

func (h plainHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h plainHandler) WithGroup(string) slog.Handler { return h }

// cleanAttr is for what a log's reader may show on a terminal too.
func cleanAttr(_ []string, attr slog.Attr) slog.Attr {
	switch v := attr.Value.Any().(type) {
	case string:
		attr.Value = slog.StringValue(cleanMessage(v))
	case error:
		attr.Value = slog.StringValue(cleanMessage(v.Error()))
	}
	return attr
}

func cleanMessage(s string) string { return withoutSecrets(Clean(s)) }

// What addresses may hold: a password before the host, and signatures and tokens
// among the parameters, as storage behind a registry has them.
var (
	passwords = regexp.MustCompile(`(://[^\s/:@]*):[^\s/@]*@`)
	tokens    = regexp.MustCompile(`(?i)([?&][^\s=&]*(?:token|sig|signature|credential|password|secret|key)[^\s=&]*=)[^\s&"']+`)
)

func withoutSecrets(s string) string {
	return tokens.ReplaceAllString(passwords.ReplaceAllString(s, "$1:xxxxx@"), "${1}xxxxx")
}
