// Package internal_test holds the rules about the source as a whole: who may
// import whom, and what must not be written at all.
package internal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/archprune/archprune/"

// listed is what go list says of a package.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

// packages lists this module's packages by their path below the module.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	all := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(p.ImportPath, module)] = p
	}
}

// below reports whether path is pkg or a package below it.
func below(path, pkg string) bool { return path == pkg || strings.HasPrefix(path, pkg+"/") }

// TestImportsRunOneWay holds what each package may import of this module,
// directly or not. What stands in no line may import all.
func TestImportsRunOneWay(t *testing.T) {
	rules := map[string][]string{
		"engine":            {},
		"engine/docker":     {"engine"},
		"engine/enginetest": {"engine"},
		"selector":          {"engine", "internal/days"},
		"archive":           {"engine", "archive/retention", "internal/durable", "internal/digestio"},
		"archive/retention": {},
		"archive/signing":   {},
		"prune":             {"engine", "archive", "archive/retention", "selector", "internal/days", "internal/durable", "internal/digestio"},
		"push":              {"engine", "archive", "archive/retention", "internal/durable", "internal/digestio"},
		"restore":           {"engine", "archive", "archive/retention", "internal/durable", "internal/digestio"},
		"serve":             {"engine", "archive", "archive/retention", "internal/durable", "internal/digestio"},
		"internal/overview": {"engine", "selector", "archive", "archive/retention", "internal/days", "internal/durable", "internal/digestio", "internal/ui"},
		"internal/durable":  {},
		"internal/hostlock": {},
		"internal/digestio": {},
		"internal/ui":       {},
		"internal/config":   {"internal/days"},
		"internal/days":     {},
		"internal/metrics":  {"internal/durable"},
		"internal/journal":  {"internal/durable"},

		"archive/archivetest": {"engine", "archive", "archive/retention", "internal/durable", "internal/digestio"},
		"archive/registry":    {"engine", "archive", "archive/retention", "internal/durable", "internal/digestio"},

		"internal/registrytest": {},
	}
	all := packages(t)
	for pkg, may := range rules {
		p, ok := all[pkg]
		if !ok {
			t.Errorf("there is no package %s: mend this test", pkg)
			continue
		}
		for _, dep := range p.Deps {
			if own, ok := strings.CutPrefix(dep, module); ok && !slices.Contains(may, own) {
				t.Errorf("%s depends on %s; it may depend on %q", pkg, own, may)
			}
		}
	}
}

// TestForeignPackagesHaveOneImporter holds which of our packages may import
// what others wrote. Tests of a package count as the package.
func TestForeignPackagesHaveOneImporter(t *testing.T) {
	rules := map[string][]string{ // import, itself and what is below it: importers
		"github.com/docker/docker/client":                      {"engine/docker", "engine/enginetest"},
		"github.com/docker/cli/cli/context":                    {"engine/docker"},
		"github.com/google/go-containerregistry/pkg/v1/remote": {"archive/registry"},
		"github.com/klauspost/compress":                        {"archive", "archive/archivetest"},
		"github.com/hiddeco/sshsig":                            {"archive/signing"},
		"golang.org/x/crypto":                                  {"archive/signing", "serve", "internal/registrytest"},
		"github.com/urfave/cli/v2":                             {"cmd/archprune"},
		"go.yaml.in/yaml/v3":                                   {"internal/config"},
		"github.com/prometheus":                                {"internal/metrics", "cmd/archprune"},
		"github.com/vbauerster/mpb/v8":                         {"internal/ui"},
		"github.com/docker/cli/cli/command/formatter":          {"internal/ui"},
		"github.com/rogpeppe/go-internal/testscript":           {"cmd/archprune"},
		"github.com/chromedp":                                  {"cmd/archprune"},
		"github.com/santhosh-tekuri/jsonschema/v6":             {"cmd/archprune"},
		module + "internal/ui":                                 {"cmd/archprune", "internal/overview"},
		module + "engine/docker":                               {"cmd/archprune", "archive", "prune", "push", "restore", "internal/bench"},
	}
	for pkg, p := range packages(t) {
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for foreign, may := range rules {
				if below(imp, foreign) && !slices.Contains(may, pkg) && !below(module+pkg, foreign) {
					t.Errorf("%s imports %s, which only %q may", pkg, imp, may)
				}
			}
		}
	}
}

// TestRemovalIsForcedInOnePlace holds invariant I2 to the letter: one removal
// uses force, and the engine's own prune is never asked for.
func TestRemovalIsForcedInOnePlace(t *testing.T) {
	force := regexp.MustCompile(`Force: *true`)
	prune := regexp.MustCompile(`Images?Prune`)
	var forced []string
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != "..":
			return fs.SkipDir
		case d.IsDir() && d.Name() == "enginetest": // clears engines that are its own
			return fs.SkipDir
		case !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for range force.FindAll(source, -1) {
			forced = append(forced, filepath.ToSlash(name))
		}
		if found := prune.Find(source); found != nil {
			t.Errorf("%s mentions %s", name, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"../engine/docker/remove.go"}; !slices.Equal(forced, want) {
		t.Errorf("force is used in %q, want %q alone", forced, want)
	}
}
