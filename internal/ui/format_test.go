package ui

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

type digestString string

// formatRow has its values in fields and methods, as rows of commands do.
type formatRow struct {
	Repository string
	Tag        string
	Digest     digestString
	Keep       bool
	At         time.Time
	Labels     map[string]string
	Names      []string
	hidden     string
}

func (r *formatRow) Size() string    { return Size(1000) }
func (r *formatRow) String() string  { return r.hidden }
func (r *formatRow) With(int) string { return "not a field" }

var (
	formatRows = []any{
		&formatRow{Repository: "demo-api", Tag: "1.0", Digest: "sha256:01", Keep: true,
			Labels: map[string]string{"b": "2", "a": "1"}, Names: []string{"x", "y"}, At: time.Unix(0, 0)},
		&formatRow{Repository: "registry.example.com/evil\x1b[31m\nrow", Tag: "<none>"},
	}
	formatHeaders = map[string]string{"Repository": "REPOSITORY", "Tag": "TAG", "Size": "SIZE", "Keep": "KEEP"}
)

const formatDefault = `table {{.Repository}}\t{{.Tag}}\t{{.Size}}`

func TestWriteRows(t *testing.T) {
	table := "REPOSITORY                               TAG       SIZE\n" +
		"demo-api                                 1.0       1kB\n" +
		`registry.example.com/evil\x1b[31m\nrow` + "   <none>    1kB\n"
	for _, c := range []struct{ format, want string }{
		{"", table},
		{"table", table},
		{`table {{.Tag}}\t{{upper .Repository | lower}}`,
			"TAG       REPOSITORY\n1.0       demo-api\n" + `<none>    registry.example.com/evil\x1b[31m\nrow` + "\n"},
		{`{{.Tag}}: {{truncate .Repository 5}} {{.Keep}} {{len .Names}}`, "1.0: demo- true 2\n<none>: regis false 0\n"},
		{`{{json .Labels}} {{join .Names "+"}} {{upper .Digest}}`, `{"a":"1","b":"2"} x+y SHA256:01` + "\n{}  \n"},
		{`{{range .Names}}{{.}}\n{{end}}`, "x\ny\n\n\n"},
		{"plain", "plain\nplain\n"},
	} {
		var out strings.Builder
		if err := WriteRows(&out, c.format, formatDefault, formatHeaders, formatRows); err != nil {
			t.Errorf("WriteRows(%q) = %v", c.format, err)
			continue
		}
		if got := out.String(); got != c.want {
			t.Errorf("WriteRows(%q) wrote\n%q\nwant\n%q", c.format, got, c.want)
		}
	}
}

func TestWriteRowsJSONHasStrings(t *testing.T) {
	want := `{"At":"1970-01-01T00:00:00Z","Digest":"sha256:01","Keep":"true","Labels":"a=1,b=2","Names":"x,y","Repository":"demo-api","Size":"1kB","Tag":"1.0"}
{"At":"0001-01-01T00:00:00Z","Digest":"","Keep":"false","Labels":"","Names":"","Repository":"registry.example.com/evil\u001b[31m\nrow","Size":"1kB","Tag":"<none>"}
`
	for _, format := range []string{"json", "{{json .}}"} {
		var out strings.Builder
		if err := WriteRows(&out, format, formatDefault, formatHeaders, formatRows); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("WriteRows(%q) wrote\n%s\nwant\n%s", format, got, want)
		}
	}
	var out strings.Builder
	if err := WriteRows(&out, "x {{json .}}", "", nil, formatRows[:1]); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(strings.TrimPrefix(out.String(), "x ")), &got); err != nil || got["Labels"] != "a=1,b=2" {
		t.Errorf("{{json .}} in a template wrote %q (%v)", out.String(), err)
	}
}

func TestWriteRowsOfMaps(t *testing.T) {
	type row struct{ A, B string }
	rows := []any{map[string]any{"A": "1", "B": 2}, map[string]string{"A": "3", "B": "4"}, row{"5", "6"}}
	var out strings.Builder
	if err := WriteRows(&out, "", `{{.A}}\t{{.B}}`, map[string]string{"A": "AY", "B": "BE"}, rows); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "AY        BE\n1         2\n3         4\n5         6\n"; got != want {
		t.Errorf("WriteRows wrote %q, want %q", got, want)
	}
}

func TestWriteRowsWithoutRows(t *testing.T) {
	for format, want := range map[string]string{"": "REPOSITORY   TAG       SIZE\n", "json": "", "{{.Tag}}": ""} {
		var out strings.Builder
		if err := WriteRows(&out, format, formatDefault, formatHeaders, nil); err != nil || out.String() != want {
			t.Errorf("WriteRows(%q) of no rows wrote %q, %v, want %q", format, out.String(), err, want)
		}
	}
}

func TestWriteRowsRefusesBadTemplates(t *testing.T) {
	for format, want := range map[string]string{
		"{{.Tag":                `bad --format: unclosed action`,
		"table {{.Tag}}{{end}}": `bad --format: unexpected {{end}}`,
		"{{nope .Tag}}":         `bad --format: function "nope" not defined`,
		"{{.Tga}}": `bad --format: no field "Tga"; there are ` +
			`At, Digest, Keep, Labels, Names, Repository, Size, Tag`,
		"{{join .Tag}}": `bad --format: executing "" at <join>: wrong number of args for join: want 2 got 1`,
	} {
		var out strings.Builder
		err := WriteRows(&out, format, formatDefault, formatHeaders, formatRows)
		if !errors.Is(err, ErrFormat) || err.Error() != want {
			t.Errorf("WriteRows(%q) = %v, want %v", format, err, want)
		}
		if out.Len() > 0 {
			t.Errorf("WriteRows(%q) wrote %q, want nothing", format, out.String())
		}
	}
	if err := CheckFormat("{{.Tag"); !errors.Is(err, ErrFormat) {
		t.Errorf("CheckFormat of a bad template = %v, want %v", err, ErrFormat)
	}
	for _, format := range []string{"", "table", "json", "table {{.Anything}}"} {
		if err := CheckFormat(format); err != nil {
			t.Errorf("CheckFormat(%q) = %v", format, err)
		}
	}
}

func TestWriteRowsErrors(t *testing.T) {
	for _, row := range []any{nil, 3, (*formatRow)(nil), map[int]string{}} {
		if err := WriteRows(&strings.Builder{}, "", formatDefault, formatHeaders, []any{row}); err == nil {
			t.Errorf("WriteRows of a %T = nil, want an error", row)
		}
	}
	if err := WriteRows(failingWriter{}, "", formatDefault, formatHeaders, formatRows); !errors.Is(err, errDisk) {
		t.Errorf("WriteRows to a full disk = %v, want %v", err, errDisk)
	}
}
