package main

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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
   .ArchivedAt .Proven .ProvenAt .Size .Stored .Host .Engine .Pinned .Record,
   and with --forgotten .Forgotten .ForgottenAt .Until .UntilAt`,
		Flags: slices.Concat([]cli.Flag{
			quietFlag("only show image IDs"),
			&cli.BoolFlag{Name: "no-trunc", Usage: "show whole IDs"},
			&cli.BoolFlag{Name: "digests", Usage: "show repository digests"},
			&cli.BoolFlag{Name: "forgotten", Usage: "list what was forgotten and can be brought back"},
			graceFlag(),
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
	l, err := newListing(c, catalog, a.now())
	if err != nil {
		return err
	}
	l.proofs = a.proofs(c.Context, f)
	rows := l.rows(patterns)
	format := c.String("format")
	switch {
	case c.Bool("json"):
		format = "json"
	case c.Bool("quiet"):
		format = "{{.ID}}"
	}
	if len(rows) == 0 && format == "" {
		a.log.Info(l.noRows())
		return nil
	}
	table := l.table(c.Bool("digests"))
	if width := terminalWidth(a.stdout); format == "" && width > 0 && !l.full {
		table, rows = fitRows(rows, table, width)
	}
	return ui.WriteRows(a.stdout, format, table, listHeaders, rows)
}

// listing is what list shows of a catalog.
type listing struct {
	catalog   *archive.Catalog
	records   []*archive.Record
	proofs    *archive.Proofs
	forgotten bool
	grace     time.Duration
	now       time.Time
	full      bool // whole IDs
}

func newListing(c *cli.Context, catalog *archive.Catalog, now time.Time) (listing, error) {
	l := listing{catalog: catalog, records: catalog.Records, now: now, full: c.Bool("no-trunc")}
	var err error
	if l.grace, err = parseWait("--grace", c.String("grace")); err != nil {
		return l, err
	}
	if c.Bool("forgotten") {
		l.forgotten, l.records = true, catalog.Forgotten
	}
	return l, nil
}

// noRows says why a list has nothing.
func (l listing) noRows() string {
	switch {
	case len(l.catalog.Records) == 0 && len(l.catalog.Bad) > 0:
		return "The archive has nothing that can be used."
	case len(l.records) > 0:
		return "Nothing in the archive matches."
	case l.forgotten:
		return "Nothing is forgotten."
	}
	return "The archive is empty."
}

// table has the columns that tell something: a host where there are several,
// pins where there are any.
func (l listing) table(digests bool) string {
	columns := []string{"{{.Repository}}", "{{.Tag}}"}
	if digests {
		columns = append(columns, "{{.Digest}}")
	}
	columns = append(columns, "{{.ID}}", "{{.Archived}}")
	if l.forgotten {
		columns = append(columns, "{{.Forgotten}}", "{{.Until}}")
	}
	columns = append(columns, "{{.Size}}", "{{.Stored}}")
	if l.severalHosts() {
		columns = append(columns, "{{.Host}}")
	}
	if slices.ContainsFunc(l.records, l.pinned) {
		columns = append(columns, "{{.Pinned}}")
	}
	return "table " + strings.Join(columns, "\t")
}

func (l listing) severalHosts() bool {
	return slices.ContainsFunc(l.records, func(r *archive.Record) bool { return r.Engine.Host != l.records[0].Engine.Host })
}

func (l listing) pinned(r *archive.Record) bool {
	_, ok := l.catalog.Marked(r, archive.Pinned)
	return ok
}

var listHeaders = map[string]string{
	"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID",
	"Created": "CREATED", "CreatedAt": "CREATED AT", "Archived": "ARCHIVED", "ArchivedAt": "ARCHIVED AT",
	"Proven": "PROVEN", "ProvenAt": "PROVEN AT",
	"Size": "SIZE", "Stored": "STORED", "Host": "HOST", "Engine": "ENGINE", "Pinned": "PINNED", "Record": "RECORD",
	"Forgotten": "FORGOTTEN", "ForgottenAt": "FORGOTTEN AT", "Until": "GONE", "UntilAt": "GONE AT",
}

// listRow is one reference of one record; its fields are what --format knows.
type listRow struct {
	Repository, Tag, Digest, ID            string
	Created, CreatedAt                     string
	Archived, ArchivedAt                   string
	Proven, ProvenAt                       string
	Size, Stored, Host, Engine             string
	Pinned, Record                         string
	Forgotten, ForgottenAt, Until, UntilAt string
}

func (l listing) rows(patterns selector.Patterns) []any {
	var rows []any
	for _, r := range l.records {
		for _, ref := range r.References {
			if _, ok := patterns.MatchReference(ref); ok || patterns.Empty() {
				rows = append(rows, l.row(r, ref))
			}
		}
		if len(r.References) == 0 && patterns.Empty() {
			rows = append(rows, l.row(r, ""))
		}
	}
	return rows
}

func (l listing) row(r *archive.Record, ref string) listRow {
	row := listRow{Repository: "<none>", Tag: "<none>", Digest: "<none>", ID: r.ImageID.String(),
		Created: ui.Age(r.Created, l.now), CreatedAt: r.Created.UTC().Format(time.RFC3339),
		Archived: ui.Age(r.Archived, l.now), ArchivedAt: r.Archived.UTC().Format(time.RFC3339),
		Size: ui.Size3(r.Sizes.Unpacked), Stored: ui.Size3(r.Sizes.Stored), Host: r.Engine.Host,
		Engine: r.Engine.Version + "/" + string(r.Store), Record: r.Name()}
	row.Proven, row.ProvenAt = provenAgo(l.proofs, r, l.now)
	if !l.full {
		row.ID = ui.ShortID(row.ID)
	}
	if l.pinned(r) {
		row.Pinned = "pinned"
	}
	if m, ok := l.catalog.Marked(r, archive.Forgotten); ok && l.forgotten {
		until := m.Time.Add(l.grace)
		row.Forgotten, row.ForgottenAt = ui.Age(m.Time, l.now), m.Time.UTC().Format(time.RFC3339)
		row.Until, row.UntilAt = ui.Until(until, l.now), until.UTC().Format(time.RFC3339)
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

// What repositories and tags get at least.
const minRepository, minTag = 14, 12

// fitRows makes a list no wider than the terminal, whose own wrapping nobody can
// read: it wraps long repositories, then long tags, and where that is not enough
// it leaves the IDs out.
func fitRows(rows []any, table string, width int) (string, []any) {
	repository, tag := len(listHeaders["Repository"]), minColumn-gap
	bare := make([]any, len(rows))
	for i, r := range rows {
		row := r.(listRow)
		repository = max(repository, utf8.RuneCountInString(row.Repository))
		tag = max(tag, utf8.RuneCountInString(row.Tag))
		row.Repository, row.Tag = "", ""
		bare[i] = row
	}
	room := func() int {
		return width - tableWidth(table, listHeaders, bare) + len(listHeaders["Repository"]) + minColumn - gap
	}
	if min(repository, minRepository)+min(tag, minTag) > room() {
		table = strings.Replace(table, "{{.ID}}\t", "", 1)
	}
	tag = min(tag, max(minTag, room()-min(repository, minRepository)))
	repository = max(min(repository, minRepository), room()-tag)
	var fitted []any
	for _, r := range rows {
		row := r.(listRow)
		repositories, tags := wrap(row.Repository, repository, nameBreaks), wrap(row.Tag, tag, partBreaks)
		for i := range max(len(repositories), len(tags)) {
			if i > 0 {
				row = listRow{}
			}
			row.Repository, row.Tag = at(repositories, i), at(tags, i)
			fitted = append(fitted, row)
		}
	}
	return table, fitted
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
