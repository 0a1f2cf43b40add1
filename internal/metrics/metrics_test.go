package metrics

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUpdateKeepsOtherFigures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archprune.prom")
	for _, gauges := range [][]Gauge{
		{{"last_verify_timestamp_seconds", "When.", 1.7e9}, {"images_removed", "How many.", 3}},
		{{"images_removed", "How many.", 0}},
	} {
		if err := Update(path, gauges); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `# HELP archprune_images_removed How many.
# TYPE archprune_images_removed gauge
archprune_images_removed 0
# HELP archprune_last_verify_timestamp_seconds When.
# TYPE archprune_last_verify_timestamp_seconds gauge
archprune_last_verify_timestamp_seconds 1.7e+09
`
	if string(data) != want {
		t.Errorf("got\n%s\nwant\n%s", data, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v: the exporter must be able to read it", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".archprune-*")); len(left) > 0 {
		t.Errorf("temporary files are left: %q", left)
	}
}

func TestUpdateRefusesWhatIsNotOurs(t *testing.T) {
	for text, why := range map[string]string{
		"node_load1 3\n": "node_load1, which is not archprune's",
		"{\"json\": 1}":  "it is no file of metrics",
	} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Update(path, []Gauge{{"a", "b", 1}})
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", text, err, why)
		}
		if data, _ := os.ReadFile(path); string(data) != text {
			t.Errorf("the file became %q", data)
		}
	}
}

func TestUpdateRefusesDevices(t *testing.T) {
	link := filepath.Join(t.TempDir(), "x") // as root may replace the device itself
	if err := os.Symlink(os.DevNull, link); err != nil {
		t.Fatal(err)
	}
	if err := Update(link, nil); err == nil || !strings.Contains(err.Error(), "it is no regular file") {
		t.Errorf("Update = %v, want a refusal", err)
	}
	if to, err := os.Readlink(link); to != os.DevNull {
		t.Errorf("the link leads to %q, %v", to, err)
	}
}

func TestUpdateKeepsALink(t *testing.T) {
	dir := t.TempDir()
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "file.prom")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	if err := Update(link, []Gauge{{"a", "b", 1}}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), "archprune_a 1") {
		t.Errorf("the file has %q, %v", data, err)
	}
}

func TestUpdateNamesTheFileThatItCannotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nosuch", "archprune.prom")
	err := Update(path, nil)
	if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), ".archprune-") {
		t.Errorf("Update = %v, want the name of the file and not of a temporary one", err)
	}
}
