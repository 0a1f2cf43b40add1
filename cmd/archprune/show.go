package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/signing"
	"github.com/archprune/archprune/internal/ui"
)

func (a *app) showCommand() *cli.Command {
	return &cli.Command{
		Name:        "show",
		Usage:       "show one archived image: names, layers, origin, cost",
		ArgsUsage:   "REFERENCE|ID",
		Description: `   A reference means its newest archived image; an image ID may be shortened.`,
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "at", Usage: "take what the archive had at `TIME`"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "show whole IDs and digests"},
			jsonFlag()}, readFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("show takes one reference or image ID, but got %d: 'archprune list' shows what there is", c.NArg())
			}
			at, err := parseTime(c.String("at"), a.now())
			if err != nil {
				return err
			}
			f, err := a.readArchive(c)
			if err != nil {
				return err
			}
			defer f.Close()
			catalog, err := f.Catalog(c.Context)
			if err != nil {
				return err
			}
			r, err := find(catalog, c.Args().First(), at)
			if err != nil {
				return err
			}
			signed, err := a.signedBy(c, f, r)
			if err != nil {
				return err
			}
			proofs := a.proofs(c.Context, f)
			if c.Bool("json") {
				proven, _ := proofs.Of(r)
				return ui.WriteJSON(a.stdout, shownRecord{r, signed, proven})
			}
			kept := whereabouts{archive: f.Location(), proven: provenLine(proofs, r, a.now()), full: c.Bool("no-trunc")}
			kept.file, _ = f.File(c.Context, r)
			return printRecord(a.stdout, r, catalog, kept, signed, a.now())
		},
	}
}

// shownRecord is a record for machines.
type shownRecord struct {
	*archive.Record
	*signature
	Proven time.Time `json:"proven,omitzero"` // when it was last read back and found whole
}

// signature is who signed a record.
type signature struct {
	By      string `json:"signed_by"`
	Comment string `json:"signed_by_comment,omitempty"` // as --trust-key has it
	Trusted bool   `json:"signed_trusted"`              // by --trust-key
}

// signedBy looks at the signature of a record; nil is none. A record that
// --trust-key refuses does not get here.
func (a *app) signedBy(c *cli.Context, f *archive.Archive, r *archive.Record) (*signature, error) {
	trust, err := a.trust(c)
	if err != nil {
		return nil, err
	}
	data, sig, err := f.Signed(c.Context, r)
	if err != nil || sig == nil {
		return nil, err
	}
	key, err := trust.Identify(data, sig)
	if err != nil {
		a.warn("record %s: %v", r.Name(), err)
		return nil, nil
	}
	return &signature{key.Fingerprint, key.Comment, trust != nil}, nil
}

func (s signature) String() string {
	key := signing.Key{Fingerprint: s.By, Comment: s.Comment}
	if s.Trusted {
		return key.String() + ", trusted"
	}
	return key.String() + "; whose key this is, --trust-key tells"
}

// whereabouts is where a record is kept, and how that is told.
type whereabouts struct {
	archive string
	proven  string // when it was last found whole there
	file    string // of its own; empty where the archive has no such files
	full    bool   // whole digests
}

// short is a digest as a person sees it, unless all of it is wanted.
func (w whereabouts) short(d digest.Digest) string {
	if w.full {
		return d.String()
	}
	return ui.ShortID(d.String())
}

func printRecord(w io.Writer, r *archive.Record, catalog *archive.Catalog, kept whereabouts, signed *signature, now time.Time) error {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-14s%s\n", name+":", ui.Clean(fmt.Sprintf(format, args...)))
	}
	line("Image ID", "%s", kept.short(r.ImageID))
	line("Config", "%s", kept.short(r.ConfigDigest()))
	if len(r.References) > 0 {
		line("References", "%s", strings.Join(r.References, ", "))
	}
	for _, d := range r.RepoDigests {
		line("Digest", "%s", d)
	}
	for _, c := range r.Contents {
		line("Platform", "%s", c.Platform)
	}
	line("Created", "%s (%s)", r.Created.UTC().Format(time.RFC3339), ui.Age(r.Created, now))
	line("Archived", "%s (%s)", r.Archived.UTC().Format(time.RFC3339), ui.Age(r.Archived, now))
	line("Proven", "%s", kept.proven)
	line("From", "%s, engine %s, %s store", r.Engine.Host, r.Engine.Version, r.Store)
	if m, ok := catalog.Marked(r, archive.Pinned); ok {
		line("Pinned", "%s (%s), on %s", m.Time.UTC().Format(time.RFC3339), ui.Age(m.Time, now), m.Host)
	}
	line("Size", "%s", ui.Size(r.Sizes.Unpacked))
	if kept.file != "" {
		line("Stored", "%s, in a file of its own", ui.Size(r.Sizes.Stored))
	} else {
		line("Stored", "%s, of which %s for this image alone", ui.Size(r.Sizes.Stored), ui.Size(exclusive(r, catalog)))
	}
	line("Manifest", "%s", kept.short(r.View.Digest))
	if kept.file != "" {
		line("Read by", "zstd -dc %s | docker load", kept.file)
	}
	for _, ref := range r.References {
		if kept.file == "" && catalog.Newest()[ref] == r {
			line("Read by", "skopeo inspect %s", readBy(kept.archive, ref))
			break
		}
	}
	line("Record", "%s", r.Name())
	if signed != nil {
		line("Signed by", "%s", signed)
	}
	fmt.Fprintln(w)
	t := ui.NewTable(w, "LAYER", "SIZE", "STORED", "SHARED WITH")
	for _, l := range r.Contents[0].Layers {
		t.Row(kept.short(l.DiffID), ui.Size3(l.Size), ui.Size3(l.Stored.Size), plural(sharers(l, r, catalog), "image"))
	}
	return t.Flush()
}

// exclusive is how many bytes no other image of the archive needs.
func exclusive(r *archive.Record, catalog *archive.Catalog) int64 {
	others := map[string]bool{}
	for _, o := range catalog.Records {
		if o.ImageID == r.ImageID {
			continue
		}
		for _, b := range o.Blobs {
			others[b.Digest.String()] = true
		}
	}
	var bytes int64
	for _, b := range r.Blobs {
		if !others[b.Digest.String()] {
			bytes += b.Size
		}
	}
	return bytes
}

// sharers counts the other images that have the layer.
func sharers(l archive.Layer, r *archive.Record, catalog *archive.Catalog) int {
	images := map[string]bool{}
	for _, o := range catalog.Records {
		if o.ImageID == r.ImageID {
			continue
		}
		for _, b := range o.Blobs {
			if b.Digest == l.Stored.Digest {
				images[o.ImageID.String()] = true
			}
		}
	}
	return len(images)
}
