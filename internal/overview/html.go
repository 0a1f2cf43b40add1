package overview

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"time"

	"github.com/archprune/archprune/internal/ui"
)

//go:embed page.css
var style string

//go:embed page.js
var script string

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"size":   ui.Size3,
	"some":   Some,
	"plural": plural,
	"kind":   kindOf,
	"time":   func(t time.Time) string { return t.UTC().Format(dayTime) },
	"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"bar":    func(part, whole int64) string { return percent(float64(part), float64(max(1, whole))) },
	"add":    func(a, b int) int { return a + b },
}).Parse(page))

// HTML writes a page that needs nothing else: it may load nothing, and runs no
// script but its own.
func (o Overview) HTML(w io.Writer) error {
	return pageTemplate.Execute(w, struct {
		Overview
		Style           template.CSS
		Script          template.JS
		StyleID, CodeID string
		Largest         int64 // of an image's layers
	}{o, template.CSS(style), template.JS(script), hashed(style), hashed(script), o.largest()})
}

// hashed is how a content security policy names a style or a script.
func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (o Overview) largest() (bytes int64) {
	for _, img := range o.Images {
		bytes = max(bytes, img.Unique+img.Common)
	}
	return bytes
}

// ShareTable lists what several images have.
type ShareTable struct {
	Caption, What string
	Rows          []ShareRow
}

// ShareRow is a share and the images that have it.
type ShareRow struct {
	Share
	Names []string
}

// EngineShares lists layers.
func (o Overview) EngineShares() ShareTable {
	return ShareTable{"Layers that several images have", "Layers", shareRows(o.Shared, o.imageName)}
}

// ArchiveShares lists blobs.
func (o Overview) ArchiveShares() ShareTable {
	return ShareTable{"Blobs that several archived images need", "Blobs", shareRows(o.kept, o.archivedName)}
}

func (o Overview) imageName(i int) string { return o.Images[i].Label() }

func (o Overview) archivedName(i int) string { return o.Records[o.archived[i].record].Label() }

func shareRows(shared []Share, name func(int) string) []ShareRow {
	rows := make([]ShareRow, len(shared))
	for i, s := range shared {
		rows[i] = ShareRow{s, namesOf(s, name)}
	}
	return rows
}

func namesOf(s Share, name func(int) string) []string {
	names := make([]string, len(s.Owners))
	for i, owner := range s.Owners {
		names[i] = name(owner)
	}
	return names
}
