package ui

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// view is a row as a template sees it: a map, because the names of a template
// may come from keys, fields and methods alike.
type view map[string]any

func newView(row map[string]any) view {
	v := make(view, len(row))
	for name, value := range row {
		v[name] = cleanValue(value)
	}
	return v
}

// FullHeader makes a view one of the library's rows. Headers are those of the
// table, not of a row.
func (view) FullHeader() any { return nil }

// MarshalJSON gives {{json .}} strings, as the docker command does.
func (v view) MarshalJSON() ([]byte, error) {
	doc, err := encodeJSON(asText(v))
	return []byte(doc), err
}

// fieldsOf lists what a template can name in row.
func fieldsOf(row any) (map[string]any, error) {
	v := reflect.ValueOf(row)
	fields := map[string]any{}
	addMethods(fields, v)
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Struct:
		for _, f := range exportedFields(v.Type()) {
			if value, err := v.FieldByIndexErr(f.Index); err == nil {
				fields[f.Name] = value.Interface()
			}
		}
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		for it := v.MapRange(); it.Next(); {
			fields[it.Key().String()] = it.Value().Interface()
		}
	default:
		return nil, fmt.Errorf("a row is a %T, not a struct or a map", row)
	}
	return fields, nil
}

// known are the fields of types that were rows before.
var known sync.Map // of []reflect.StructField by reflect.Type

func exportedFields(t reflect.Type) []reflect.StructField {
	if fields, ok := known.Load(t); ok {
		return fields.([]reflect.StructField)
	}
	fields := slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return !f.IsExported() || f.Anonymous })
	known.Store(t, fields)
	return fields
}

// notFields are methods with a meaning to fmt and encoding/json.
var notFields = []string{"String", "GoString", "Error", "MarshalJSON", "MarshalText", "FullHeader"}

func addMethods(fields map[string]any, v reflect.Value) {
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return
	}
	for i := range v.NumMethod() {
		name, m := v.Type().Method(i).Name, v.Method(i)
		if m.Type().NumIn() == 0 && m.Type().NumOut() == 1 && !slices.Contains(notFields, name) {
			fields[name] = m.Call(nil)[0].Interface()
		}
	}
}

// cleanValue cleans the kinds of text that rows hold. Named string types become
// plain strings, the only ones that docker's template functions take.
func cleanValue(value any) any {
	switch t := value.(type) {
	case []string:
		cleaned := make([]string, len(t))
		for i, s := range t {
			cleaned[i] = Clean(s)
		}
		return cleaned
	case map[string]string:
		cleaned := make(map[string]string, len(t))
		for k, s := range t {
			cleaned[Clean(k)] = Clean(s)
		}
		return cleaned
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.String {
		return Clean(v.String())
	}
	return value
}

func asText(row map[string]any) map[string]string {
	texts := make(map[string]string, len(row))
	for name, value := range row {
		texts[name] = textOf(value)
	}
	return texts
}

// textOf is a value as the docker command writes it in JSON: lists and labels
// joined by commas.
func textOf(value any) string {
	switch t := value.(type) {
	case nil:
		return ""
	case time.Time:
		return t.UTC().Format(time.RFC3339)
	case []string:
		return strings.Join(t, ",")
	case map[string]string:
		pairs := make([]string, 0, len(t))
		for _, k := range slices.Sorted(maps.Keys(t)) {
			pairs = append(pairs, k+"="+t[k])
		}
		return strings.Join(pairs, ",")
	}
	return fmt.Sprint(value)
}
