package ui

import (
	"errors"
	"strings"
	"testing"
)

func TestTableHasDockersSpacing(t *testing.T) {
	var out strings.Builder
	table := NewTable(&out, "Repository", "tag", "image id", "size")
	table.Row("demo-api", "1.0", "0123456789ab", "214MB")
	table.Row("registry.example.com/team/日本", "a-rather-long-tag", "ba9876543210", "1.2GB")
	table.Row("evil\x1b[31m\tname", "x\ny")
	if out.Len() > 0 {
		t.Errorf("%q was written before Flush", out.String())
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`REPOSITORY                       TAG                 IMAGE ID       SIZE`,
		`demo-api                         1.0                 0123456789ab   214MB`,
		`registry.example.com/team/日本   a-rather-long-tag   ba9876543210   1.2GB`,
		`evil\x1b[31m\tname               x\ny                               `,
		``,
	}, "\n")
	if got := out.String(); got != want {
		t.Errorf("table is\n%s\nwant\n%s", got, want)
	}
}

func TestTableWithoutHeaders(t *testing.T) {
	var out strings.Builder
	table := NewTable(&out)
	table.Row("Digest:", "sha256:0123")
	table.Row("A long name:", "x")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "Digest:        sha256:0123\nA long name:   x\n"; got != want {
		t.Errorf("table is %q, want %q", got, want)
	}
}

var errDisk = errors.New("no space left on device")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errDisk }

func TestTableReportsWriteErrors(t *testing.T) {
	table := NewTable(failingWriter{}, "a")
	if err := table.Flush(); !errors.Is(err, errDisk) {
		t.Errorf("Flush() = %v, want %v", err, errDisk)
	}
}
