package ui

import (
	"encoding/json"
	"strconv"
	"testing"
	"unicode/utf8"
)

func TestCleanMakesControlCharactersVisible(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"demo-api:1.0":             "demo-api:1.0",
		"Grüße, 日本語, 🐳":            "Grüße, 日本語, 🐳",
		"\x1b[2J\x1b]0;title\a":    `\x1b[2J\x1b]0;title\a`,
		"good\rbad\nnew\tcell":     `good\rbad\nnew\tcell`,
		"\u009b31m":                `\u009b31m`,
		"\x7f\x00":                 `\x7f\x00`,
		"abc\u202egpj.exe\u2066":   `abc\u202egpj.exe\u2066`,
		"zero\u200bwidth\ufeff":    `zero\u200bwidth\ufeff`,
		"line\u2028separator":      `line\u2028separator`,
		"tag\U000e0041":            `tag\U000e0041`,
		"bad \xff\xc3":             `bad \xff\xc3`,
		"a real � stays":           "a real � stays",
		`a backslash \x1b in text`: `a backslash \x1b in text`,
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[31m\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) {
			t.Errorf("Clean(%q) = %q, which is not UTF-8", s, got)
		}
		for _, r := range got {
			if !strconv.IsGraphic(r) {
				t.Errorf("Clean(%q) = %q, which has %q", s, got, r)
			}
		}
		if again := Clean(got); again != got {
			t.Errorf("Clean(%q) = %q, want it unchanged", got, again)
		}
	})
}

func TestCleanJSONKeepsTheDocument(t *testing.T) {
	const want = "a\x1b[31m\u009b\u202e\U000e0041<none>"
	doc, err := encodeJSON(want)
	if err != nil {
		t.Fatal(err)
	}
	if wantDoc := `"a\u001b[31m\u009b\u202e\udb40\udc41<none>"`; doc != wantDoc {
		t.Errorf("encodeJSON(%q) = %s, want %s", want, doc, wantDoc)
	}
	var got string
	if err := json.Unmarshal([]byte(doc), &got); err != nil || got != want {
		t.Errorf("the document reads back as %q, %v, want %q", got, err, want)
	}
}
