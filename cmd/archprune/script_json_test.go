package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var (
	schemaDir = filepath.Join("..", "..", "doc", "schema")
	scriptDir = filepath.Join("..", "..", "testdata", "script")
)

// cmdJSON checks output against a schema: json document SCHEMA, or json lines
// SCHEMA for one object on each line.
func cmdJSON(ts *testscript.TestScript, args []string) {
	schema, err := compileSchema(args[1])
	ts.Check(err)
	out := ts.ReadFile("stdout")
	documents := []string{out}
	if args[0] == "lines" {
		documents = strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	}
	for _, text := range documents {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			ts.Fatalf("not JSON: %v\n%s", err, text)
		}
		if err := schema.Validate(document); err != nil {
			ts.Fatalf("not as doc/schema/%s.json has it: %v\n%s", args[1], err, text)
		}
	}
	_, _ = io.WriteString(ts.Stdout(), out)
}

// compileSchema reads a schema more strictly than others do: it must name every
// field that there is.
func compileSchema(name string) (*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for _, name := range slices.Compact([]string{name, "common"}) {
		data, err := os.ReadFile(filepath.Join(schemaDir, name+".json"))
		if err != nil {
			return nil, err
		}
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
		if err != nil {
			return nil, err
		}
		forbidOthers(document)
		if err := compiler.AddResource("schema:///"+name+".json", document); err != nil {
			return nil, err
		}
	}
	return compiler.Compile("schema:///" + name + ".json")
}

func forbidOthers(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, item := range s {
			forbidOthers(item)
		}
	case map[string]any:
		for _, item := range s {
			forbidOthers(item)
		}
		if _, isObject := s["properties"].(map[string]any); isObject && s["type"] == "object" {
			s["additionalProperties"] = false
		}
	}
}

// TestSchemasAreCheckedAndDocumented finds a schema that no script's output is
// held against, or that the documentation does not name.
func TestSchemasAreCheckedAndDocumented(t *testing.T) {
	var scripts strings.Builder
	files, err := filepath.Glob(filepath.Join(scriptDir, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(data)
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "doc", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(schemas) < 10 {
		t.Fatalf("%d schemas in %s", len(schemas), schemaDir)
	}
	for _, file := range schemas {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if _, err := compileSchema(name); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if name == "common" {
			continue
		}
		if !strings.Contains(scripts.String(), "\njson document "+name+"\n") && !strings.Contains(scripts.String(), "\njson lines "+name+"\n") {
			t.Errorf("no script checks output against %s", file)
		}
		if !strings.Contains(string(doc), "(schema/"+name+".json)") {
			t.Errorf("doc/json.md does not name schema/%s.json", name)
		}
	}
}

func TestSchemasRefuseWhatTheyDoNotName(t *testing.T) {
	schema, err := compileSchema("restore")
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"message_type":"restore","record":"20261125T110000.000Z-0123456789ab-0123456789abcdef0123","id":"","names":[],"present":false,"sent_bytes":0,"omitted_bytes":0,"seconds":0}`
	for text, want := range map[string]bool{
		good: true,
		strings.Replace(good, `"id"`, `"new":1,"id"`, 1):           false,
		strings.Replace(good, `"seconds":0`, `"seconds":"0"`, 1):   false,
		strings.Replace(good, `"names":[],`, ``, 1):                false,
		strings.Replace(good, `"restore"`, `"something else"`, 1):  false,
		strings.Replace(good, `20261125T110000`, `2026-11-25T`, 1): false,
	} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
