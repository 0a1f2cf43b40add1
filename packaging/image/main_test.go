package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestImage: another reader finds it whole, and two are the same bytes.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, bytes.Repeat([]byte("archprune"), 1000), 0o700); err != nil {
		t.Fatal(err)
	}
	r := release{program: program, arch: "arm64", version: "1.2.3", time: time.Unix(1_700_000_000, 0)}
	var files [2][]byte
	for i, name := range []string{"one.tar", "two.tar"} {
		if err := write(filepath.Join(dir, name), r); err != nil {
			t.Fatal(err)
		}
		var err error
		if files[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two images of one program differ")
	}
	img, err := tarball.ImageFromPath(filepath.Join(dir, "one.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != "arm64" || !config.Created.Time.Equal(r.time) || config.Config.Entrypoint[0] != "/usr/bin/archprune" {
		t.Errorf("config is %+v", config)
	}
}
