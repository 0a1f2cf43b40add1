// Command image makes a container image of the program, from nothing and
// without an engine, as a file for 'docker load'. The same program and the same
// time give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// release is what an image is made of.
type release struct {
	program       string // file
	arch, version string
	time          time.Time
}

func main() {
	var r release
	flag.StringVar(&r.program, "program", "", "the program's `FILE`")
	flag.StringVar(&r.arch, "arch", "amd64", "its architecture")
	flag.StringVar(&r.version, "version", "dev", "its version, and the image's tag")
	at := flag.Int64("time", 0, "Unix time of the image")
	out := flag.String("o", "", "the `FILE` to write")
	flag.Parse()
	r.time = time.Unix(*at, 0).UTC()
	if err := write(*out, r); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func write(out string, r release) error {
	tag, err := name.NewTag("archprune:" + r.version)
	if err != nil {
		return err
	}
	img, err := build(r)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(out, tag, img)
}

func build(r release) (v1.Image, error) {
	program, err := os.ReadFile(r.program)
	if err != nil {
		return nil, err
	}
	files, err := layer(program, r.time)
	if err != nil {
		return nil, err
	}
	content, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: content,
		History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "archprune " + r.version}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", r.arch, v1.Time{Time: r.time}
	config.Config = v1.Config{
		Entrypoint: []string{"/usr/bin/archprune"},
		Env:        []string{"PATH=/usr/bin", "HOME=/root"},
		Labels:     map[string]string{"org.opencontainers.image.title": "archprune", "org.opencontainers.image.version": r.version},
	}
	return mutate.ConfigFile(img, config)
}

// layer is a file system with the program and the folders that it uses.
func layer(program []byte, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, dir := range []struct {
		name string
		mode int64
	}{{"etc/", 0o755}, {"etc/archprune/", 0o755}, {"root/", 0o700}, {"tmp/", 0o1777}, {"usr/", 0o755}, {"usr/bin/", 0o755},
		{"var/", 0o755}, {"var/lib/", 0o755}, {"var/log/", 0o755}} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir.name, Mode: dir.mode, ModTime: at}); err != nil {
			return nil, err
		}
	}
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "usr/bin/archprune", Mode: 0o755, ModTime: at, Size: int64(len(program))})
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
