package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

func (a *app) listCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Aliases:   []string{"ls"},
		Usage:     "list the archived images",
		ArgsUsage: "[PATTERN...]",
		Description: `   One line for each reference and each image that it was archived as, newest
   first. The TEMPLATE of --format is a Go template, as for docker image ls;
   its fields are .Repository .Tag .Digest .ID .Created .CreatedAt .Archived
   .ArchivedAt .Size .Stored .Host .Record`,
		Flags: slices.Concat([]cli.Flag{
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "only show image IDs"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "show whole IDs"},
			&cli.BoolFlag{Name: "digests", Usage: "show repository digests"},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` is table, table TEMPLATE, json or TEMPLATE"},
			jsonFlag()}, readFlags()),
		Action: a.list,
	}
}

func (a *app) list(c *cli.Context) error {
	patterns, err := selector.ParsePatterns(c.Args().Slice())
	if err != nil {
		return usageError{err}
	}
	if err := ui.CheckFormat(c.String("format")); err != nil {
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
	a.warnBad(catalog)
	rows := listRows(catalog, patterns, a.now(), c.Bool("no-trunc"))
	format := c.String("format")
	switch {
	case c.Bool("json"):
		format = "json"
	case c.Bool("quiet"):
		format = "{{.ID}}"
	}
	if len(rows) == 0 && format == "" {
		_, err := fmt.Fprintln(a.stderr, noRows(catalog))
		return err
	}
	return ui.WriteRows(a.stdout, format, listTable(c.Bool("digests")), listHeaders, rows)
}

// noRows says why a list has nothing.
func noRows(catalog *archive.Catalog) string {
	if len(catalog.Records) == 0 && len(catalog.Bad) > 0 {
		return "The archive has nothing that can be used."
	}
	if len(catalog.Records) > 0 {
		return "Nothing in the archive matches."
	}
	return "The archive is empty."
}

func listTable(digests bool) string {
	columns := []string{"{{.Repository}}", "{{.Tag}}", "{{.ID}}", "{{.Archived}}", "{{.Size}}", "{{.Stored}}"}
	if digests {
		columns = slices.Insert(columns, 2, "{{.Digest}}")
	}
	return "table " + strings.Join(columns, "\t")
}

var listHeaders = map[string]string{
	"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID",
	"Created": "CREATED", "CreatedAt": "CREATED AT", "Archived": "ARCHIVED", "ArchivedAt": "ARCHIVED AT",
	"Size": "SIZE", "Stored": "STORED", "Host": "HOST", "Record": "RECORD",
}

// listRow is one reference of one record; its fields are what --format knows.
type listRow struct {
	Repository, Tag, Digest, ID string
	Created, CreatedAt          string
	Archived, ArchivedAt        string
	Size, Stored, Host, Record  string
}

func listRows(catalog *archive.Catalog, patterns selector.Patterns, now time.Time, full bool) []any {
	var rows []any
	for _, r := range catalog.Records {
		for _, ref := range r.References {
			if _, ok := patterns.MatchReference(ref); ok || patterns.Empty() {
				rows = append(rows, newListRow(r, ref, now, full))
			}
		}
		if len(r.References) == 0 && patterns.Empty() {
			rows = append(rows, newListRow(r, "", now, full))
		}
	}
	return rows
}

func newListRow(r *archive.Record, ref string, now time.Time, full bool) listRow {
	row := listRow{Repository: "<none>", Tag: "<none>", Digest: "<none>", ID: r.ImageID.String(),
		Created: ui.Age(r.Created, now), CreatedAt: r.Created.UTC().Format(time.RFC3339),
		Archived: ui.Age(r.Archived, now), ArchivedAt: r.Archived.UTC().Format(time.RFC3339),
		Size: ui.Size3(r.Sizes.Unpacked), Stored: ui.Size3(r.Sizes.Stored), Host: r.Engine.Host, Record: r.Name()}
	if !full {
		row.ID = ui.ShortID(row.ID)
	}
	if i := strings.LastIndex(ref, ":"); i > 0 {
		row.Repository, row.Tag = ref[:i], ref[i+1:]
		for _, d := range r.RepoDigests {
			if repo, dgst, _ := strings.Cut(d, "@"); repo == row.Repository {
				row.Digest = dgst
			}
		}
	}
	return row
}

// warnBad tells of records that can't be read or are not trusted, which a list would otherwise
// leave out without a word.
func (a *app) warnBad(catalog *archive.Catalog) {
	a.warnUnreadable(catalog)
	untrusted := 0
	for _, bad := range catalog.Bad {
		if bad.Record == nil {
			continue
		}
		if untrusted++; untrusted <= maxUntrusted {
			a.warn("record %s of %s is left out: %v", bad.Name, neededName(bad.Record), bad.Err)
		}
	}
	if more := untrusted - maxUntrusted; more > 0 {
		a.warn("%s more left out: not trusted; 'archprune verify' names all", areOrIs(more, "record"))
	}
}

func (a *app) warnUnreadable(catalog *archive.Catalog) {
	for _, bad := range catalog.Bad {
		if bad.Record == nil {
			a.warn("record %s can't be read and is left out: %v", bad.Name, bad.Err)
		}
	}
}

// maxUntrusted is how many records that are not trusted are named: where keys
// came late to an archive, they are many.
const maxUntrusted = 3
