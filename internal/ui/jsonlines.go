package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// messageTypeKey is the first field of every JSON line.
const messageTypeKey = "message_type"

// JSONLines writes a run as JSON, one object per line, each with a message_type
// that tells a reader what it is. It is safe for concurrent use.
type JSONLines struct {
	mu sync.Mutex
	w  io.Writer
}

// NewJSONLines returns an encoder to w.
func NewJSONLines(w io.Writer) *JSONLines { return &JSONLines{w: w} }

// Write writes one line: message_type first, then the fields of v in their
// order. v is what encodes as a JSON object, or nil for no further fields.
func (j *JSONLines) Write(messageType string, v any) error {
	line, err := jsonLine(messageType, v)
	if err != nil {
		return fmt.Errorf("encoding JSON line %q: %w", messageType, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// In one write, so that lines stay whole in a pipe that others share.
	if _, err := io.WriteString(j.w, line); err != nil {
		return fmt.Errorf("writing JSON line %q: %w", messageType, err)
	}
	return nil
}

func jsonLine(messageType string, v any) (string, error) {
	kind, err := encodeJSON(messageType)
	if err != nil {
		return "", err
	}
	head := `{"` + messageTypeKey + `":` + kind
	if v == nil {
		return head + "}\n", nil
	}
	body, err := encodeJSON(v)
	if err != nil {
		return "", err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &fields); err != nil || fields == nil {
		return "", fmt.Errorf("a %T is no JSON object", v)
	}
	if _, ok := fields[messageTypeKey]; ok {
		return "", errors.New("the value has a " + messageTypeKey + " of its own")
	}
	if len(fields) == 0 {
		return head + "}\n", nil
	}
	return head + "," + strings.TrimPrefix(body, "{") + "\n", nil
}

// WriteJSON writes v as one document, indented for people who look at it.
func WriteJSON(w io.Writer, v any) error {
	doc, err := encode(v, "  ")
	if err != nil {
		return fmt.Errorf("encoding JSON: %w", err)
	}
	_, err = io.WriteString(w, doc)
	return err
}

// encodeJSON is v in one line.
func encodeJSON(v any) (string, error) {
	doc, err := encode(v, "")
	return strings.TrimSuffix(doc, "\n"), err
}

// encode keeps <none> readable, and lets nothing in v act on a terminal.
func encode(v any, indent string) (string, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return cleanJSON(buf.String()), nil
}
