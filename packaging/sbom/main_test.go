package main

import (
	"bytes"
	"encoding/json"
	"os"
	"runtime/debug"
	"strings"
	"testing"
)

// TestBillOfThisProgram: it names each module that the program says it is built
// of, and Go itself, and is the same each time.
func TestBillOfThisProgram(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := write(out, program, "1.2.3+a"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two bills of one program differ")
	}
	var b bom
	if err := json.Unmarshal(first.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	if c := b.Metadata.Component; !strings.HasSuffix(c.PURL, "@1.2.3%2Ba") || len(c.Hashes) != 1 {
		t.Errorf("the program is %+v", c)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || len(b.Components) != len(info.Deps)+1 {
		t.Fatalf("%d components, want Go and %d modules", len(b.Components), len(info.Deps))
	}
	for i, dep := range info.Deps {
		if c := b.Components[i+1]; c.Name != dep.Path || c.Version != dep.Version {
			t.Errorf("component %+v, want %s %s", c, dep.Path, dep.Version)
		}
	}
}
