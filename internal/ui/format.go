package ui

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/cli/templates"
)

// ErrFormat means that a --format can't be used: a mistake of the user, not a
// failure of the command.
var ErrFormat = errors.New("bad --format")

// CheckFormat tells whether format can be parsed, so that a mistake shows
// before work is done. The error wraps [ErrFormat].
func CheckFormat(format string) error {
	_, err := templates.Parse(templateOf(format))
	return formatError(err, nil)
}

// WriteRows writes rows as the docker command's --format does:
//
//	""              the default table
//	table           the default table
//	table TEMPLATE  columns, separated by \t, under their headers
//	json            one object per line, all values strings
//	TEMPLATE        one line per row
//
// A row is a map with string keys, a struct or a pointer to one; its keys,
// exported fields and exported methods without arguments are what a template
// can name. headers gives the column title of each name. defaultTable is a
// template with or without the leading word table.
//
// Text in rows is cleaned, in JSON by JSON's own escapes. A template that can't
// be parsed, or names what rows do not have, is an error that wraps [ErrFormat];
// then nothing is written.
func WriteRows(w io.Writer, format, defaultTable string, headers map[string]string, rows []any) error {
	f := formatter.Format(format)
	if t := strings.TrimSpace(format); t == "" || t == formatter.TableFormatKey {
		f = formatter.Format(defaultTable)
		if !f.IsTable() {
			f = formatter.TableFormatKey + " " + f
		}
	}
	fields := make([]map[string]any, len(rows))
	for i, row := range rows {
		var err error
		if fields[i], err = fieldsOf(row); err != nil {
			return err
		}
	}
	text, err := renderRows(f, headers, fields)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text)
	return err
}

func renderRows(f formatter.Format, headers map[string]string, rows []map[string]any) (string, error) {
	var buf bytes.Buffer
	if f.IsJSON() || strings.TrimSpace(string(f)) == formatter.JSONFormat {
		for _, row := range rows {
			line, err := encodeJSON(asText(row))
			if err != nil {
				return "", err
			}
			buf.WriteString(line + "\n")
		}
		return buf.String(), nil
	}
	views := make([]view, len(rows))
	for i, row := range rows {
		views[i] = newView(row)
	}
	if err := tryTemplate(string(f), views); err != nil {
		return "", err
	}
	out := formatter.Context{Output: &buf, Format: f}
	err := out.Write(&formatter.HeaderContext{Header: headers}, func(each func(formatter.SubContext) error) error {
		for _, row := range views {
			if err := each(row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", formatError(err, nil)
	}
	// Text was cleaned where templates read it; this catches what hides in
	// values of other kinds.
	return clean(buf.String(), "\n\t"), nil
}

// templateOf is the part of a format that is a template, as the library cuts it
// out.
func templateOf(format string) string {
	t := strings.TrimSpace(strings.TrimPrefix(format, formatter.TableFormatKey))
	return strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(t)
}

// tryTemplate finds the mistakes that the library passes over: a name that no
// row has would silently print as <no value>.
func tryTemplate(format string, rows []view) error {
	tmpl, err := templates.Parse(templateOf(format))
	if err != nil {
		return formatError(err, nil)
	}
	tmpl.Option("missingkey=error")
	for _, row := range rows {
		if err := tmpl.Execute(io.Discard, row); err != nil {
			return formatError(err, slices.Sorted(maps.Keys(row)))
		}
	}
	return nil
}

// formatError puts a template's error in one line and in the user's terms;
// names are those that a template may use.
func formatError(err error, names []string) error {
	if err == nil {
		return nil
	}
	msg := err.Error()
	if _, name, ok := strings.Cut(msg, "map has no entry for key "); ok {
		return fmt.Errorf("%w: no field %s; there are %s", ErrFormat, Clean(name), strings.Join(names, ", "))
	}
	// The library names the template, which has no name here, and the line.
	msg = strings.TrimPrefix(msg, "template parsing error: ")
	msg = strings.TrimPrefix(msg, "template: :")
	if line, rest, ok := strings.Cut(msg, ": "); ok && strings.Trim(line, "0123456789:") == "" {
		msg = rest
	}
	return fmt.Errorf("%w: %s", ErrFormat, Clean(msg))
}
