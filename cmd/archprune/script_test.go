package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/registrytest"
)

// arranger arranges the engine of a script.
type arranger struct {
	sequential
	eng    *enginetest.Engine
	held   *exec.Cmd // the command that the script held
	podman string    // folder of podman's storage

	registry *registrytest.Registry
}

type arrangerKey struct{}

func arrange(ts *testscript.TestScript) *arranger { return ts.Value(arrangerKey{}).(*arranger) }

// scriptCommands are the commands that scripts have beside testscript's own.
// testdata/script/README.md tells about them.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits":       positive(0, cmdExits),
	"insist":      positive(0, cmdInsist),
	"image":       positive(0, cmdImage),
	"container":   positive(3, cmdContainer),
	"tag":         positive(2, cmdTag),
	"tags":        positive(0, cmdTags),
	"commit":      positive(2, cmdCommit),
	"now":         positive(1, cmdNow),
	"id":          positive(2, cmdID),
	"runs":        positive(1, cmdRuns),
	"blob":        positive(3, cmdBlob),
	"flip-byte":   positive(1, cmdFlipByte),
	"record":      positive(3, cmdRecord),
	"fingerprint": positive(2, cmdFingerprint),
	"tidy":        positive(1, cmdTidy),
	"held":        positive(0, cmdHeld),
	"proceed":     positive(0, cmdProceed),
	"ended":       positive(1, cmdEnded),
	"suspend":     positive(1, cmdSuspend),
	"resume":      positive(0, cmdResume),
	"normalise":   positive(1, cmdNormalise),
	"json":        positive(2, cmdJSON),
	"need":        positive(0, cmdNeed),
	"days-pass":   positive(2, cmdDaysPass),
	"podman":      positive(0, cmdPodman),
	"unit":        positive(1, cmdUnit),
	"figures":     positive(1, cmdFigures),
	"free-port":   positive(1, cmdFreePort),
	"listens":     positive(1, cmdListens),
	"tls-pair":    positive(2, cmdTLSPair),
	"sshd":        positive(0, cmdSSHD),
}

// positive is for a command that takes n arguments (0: any number) and makes
// no sense with a !.
func positive(n int, cmd func(*testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || n > 0 && len(args) != n {
			ts.Fatalf("want %d arguments and no !, got %q", n, args)
		}
		cmd(ts, args)
	}
}

// cmdExits runs a program whose exit status is known: exits CODE PROGRAM...
func cmdExits(ts *testscript.TestScript, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("running %s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdInsist runs what gives the engine an image, as exec does, and again where
// its garbage collection after an earlier removal took a layer meanwhile:
// insist PROGRAM...
func cmdInsist(ts *testscript.TestScript, args []string) {
	ts.Check(enginetest.Insist(func() error {
		err := ts.Exec(args[0], args[1:]...)
		said := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if err != nil || strings.Contains(said, "Error unpacking") { // which some engines call a success
			return fmt.Errorf("%q: %v\n%s", args, err, said)
		}
		return nil
	}))
}

// cmdImage loads an image: image NAME,NAME PART... A PART is busybox,
// SEED:SIZE of content, label=KEY=VALUE or created=DATE; the name - is none.
func cmdImage(ts *testscript.TestScript, args []string) {
	a := arrange(ts)
	var img enginetest.Image
	if args[0] != "-" {
		img.Names = strings.Split(args[0], ",")
	}
	for _, part := range args[1:] {
		key, value, _ := strings.Cut(part, "=")
		seed, size, isContent := strings.Cut(part, ":")
		switch {
		case part == "busybox":
			img.Layers = append(img.Layers, enginetest.Busybox(a))
			img.Cmd = []string{"/bin/true"}
		case key == "label":
			k, v, _ := strings.Cut(value, "=")
			img.Labels = map[string]string{k: v}
		case key == "created":
			when, err := time.Parse(time.DateOnly, value)
			ts.Check(err)
			img.Created = when
		case isContent:
			s, err := strconv.ParseUint(seed, 10, 64)
			ts.Check(err)
			n, err := strconv.ParseInt(size, 10, 64)
			ts.Check(err)
			img.Layers = append(img.Layers, enginetest.Content(s, n))
		default:
			ts.Fatalf("no such part of an image: %q", part)
		}
	}
	a.eng.Load(a, img)
}

// cmdContainer makes a container: container NAME IMAGE created|exited|running.
func cmdContainer(ts *testscript.TestScript, args []string) {
	a := arrange(ts)
	cmd := "true"
	if args[2] == "running" {
		cmd = "sleep"
	}
	id := a.eng.CreateContainer(a, args[1], cmd, "100000")
	ts.Check(a.eng.API().ContainerRename(a.Context(), id, args[0]))
	if args[2] != "created" {
		a.eng.StartContainer(a, id)
	}
	if args[2] == "exited" {
		a.eng.WaitContainer(a, id)
	}
}

func cmdTag(ts *testscript.TestScript, args []string) {
	a := arrange(ts)
	a.eng.Tag(a, args[0], args[1])
}

// cmdCommit makes an image whose build parent is another: commit PARENT NAME.
func cmdCommit(ts *testscript.TestScript, args []string) {
	a := arrange(ts)
	id := a.eng.CreateContainer(a, args[0], "true")
	a.eng.Commit(a, id, args[1])
	a.eng.RemoveContainer(a, id)
}

// cmdNow puts the time in a variable.
func cmdNow(ts *testscript.TestScript, args []string) {
	ts.Setenv(args[0], time.Now().UTC().Format(time.RFC3339Nano))
}

// cmdTags prints what docker images shows: all tags, and <none> for each
// image without one.
func cmdTags(ts *testscript.TestScript, _ []string) {
	a := arrange(ts)
	list, err := a.eng.API().ImageList(a.Context(), image.ListOptions{})
	ts.Check(err)
	var tags []string
	for _, img := range list {
		if len(img.RepoTags) == 0 {
			tags = append(tags, "<none>")
		}
		for _, tag := range img.RepoTags {
			if named, err := reference.ParseNormalizedNamed(tag); err == nil { // podman's are complete
				tag = reference.FamiliarString(named)
			}
			tags = append(tags, strings.TrimSuffix(tag, ":<none>"))
		}
	}
	slices.Sort(tags)
	_, _ = io.WriteString(ts.Stdout(), strings.Join(tags, "\n")+"\n")
}

// cmdID puts an image's ID in a variable: id VAR IMAGE.
func cmdID(ts *testscript.TestScript, args []string) {
	a := arrange(ts)
	id := a.eng.ID(a, args[1])
	if id == "" {
		ts.Fatalf("the engine has no %s", args[1])
	}
	ts.Setenv(args[0], id.String())
	ts.Setenv(args[0]+"12", id.Encoded()[:12])
}

// cmdRuns runs a container of an image, which must end well.
func cmdRuns(ts *testscript.TestScript, args []string) {
	a := arrange(ts)
	id := a.eng.RunContainer(a, args[0], "true")
	code := a.eng.WaitContainer(a, id)
	a.eng.RemoveContainer(a, id)
	if code != 0 {
		ts.Fatalf("a container of %s ended with %d", args[0], code)
	}
}

// cmdBlob puts the digest of an image's topmost layer, as the archive stores
// it, in a variable, and its file in another: blob VAR ARCHIVE IMAGE.
func cmdBlob(ts *testscript.TestScript, args []string) {
	f, err := archive.OpenFolder(ts.MkAbs(args[1]), archive.Options{})
	ts.Check(err)
	defer f.Close()
	catalog, err := f.Catalog(arrange(ts).Context())
	ts.Check(err)
	r, err := catalog.Find(args[2], time.Time{})
	ts.Check(err)
	layers := r.Contents[0].Layers
	d := layers[len(layers)-1].Stored.Digest
	ts.Setenv(args[0], d.String())
	ts.Setenv(args[0]+"_FILE", filepath.Join(f.Location(), "blobs", "sha256", d.Encoded()))
}

// cmdRecord puts the file of an image's newest record, without .json, in a
// variable: record VAR ARCHIVE IMAGE.
func cmdRecord(ts *testscript.TestScript, args []string) {
	f, err := archive.OpenFolder(ts.MkAbs(args[1]), archive.Options{})
	ts.Check(err)
	defer f.Close()
	catalog, err := f.Catalog(arrange(ts).Context())
	ts.Check(err)
	r, err := catalog.Find(args[2], time.Time{})
	ts.Check(err)
	ts.Setenv(args[0], filepath.Join(f.Location(), "archprune", "records", r.Name()))
}

// cmdFingerprint puts the fingerprint of a key file in a variable, as a regular
// expression: fingerprint VAR FILE.
func cmdFingerprint(ts *testscript.TestScript, args []string) {
	out, err := exec.Command("ssh-keygen", "-l", "-f", ts.MkAbs(args[1])).Output()
	ts.Check(err)
	ts.Setenv(args[0], regexp.QuoteMeta(strings.Fields(string(out))[1]))
}

// cmdFlipByte changes one byte in the middle of a file.
func cmdFlipByte(ts *testscript.TestScript, args []string) {
	name := ts.MkAbs(args[0])
	data, err := os.ReadFile(name)
	ts.Check(err)
	data[len(data)/2] ^= 0x40
	ts.Check(os.Chmod(name, 0o600))
	ts.Check(os.WriteFile(name, data, 0o600))
}

// cmdTidy fails if an archive has temporary files.
func cmdTidy(ts *testscript.TestScript, args []string) {
	left, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*archprune", "tmp", "*"))
	ts.Check(err)
	if len(left) > 0 {
		ts.Fatalf("temporary files are left: %q", left)
	}
}

// cmdHeld waits until a command that was started with HOLD=$HOLD_DIR holds.
func cmdHeld(ts *testscript.TestScript, _ []string) {
	ts.Check(waitFor(filepath.Join(ts.Getenv("HOLD_DIR"), "held")))
	arrange(ts).held = ts.BackgroundCmds()[0]
}

// cmdProceed lets it go on.
func cmdProceed(ts *testscript.TestScript, _ []string) {
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("HOLD_DIR"), "proceed"), nil, 0o600))
}

// cmdEnded checks the exit status of the command that was held, after wait.
func cmdEnded(ts *testscript.TestScript, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := arrange(ts).held.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdNeed fails where a program is missing: a test that is skipped proves
// nothing.
func cmdNeed(ts *testscript.TestScript, args []string) {
	for _, program := range args {
		if _, err := exec.LookPath(program); err != nil {
			ts.Fatalf("this test needs %s: get it by scripts/engine.sh host", program)
		}
	}
}

// cmdDaysPass makes what was forgotten in an archive, and what was proven, look
// that much older: days-pass ARCHIVE N.
func cmdDaysPass(ts *testscript.TestScript, args []string) {
	days, err := strconv.Atoi(args[1])
	ts.Check(err)
	own := filepath.Join(ts.MkAbs(args[0]), "archprune")
	marks, err := filepath.Glob(filepath.Join(own, "marks", "forgotten-*.json"))
	ts.Check(err)
	proofs, err := filepath.Glob(filepath.Join(own, "proofs", "*.json"))
	ts.Check(err)
	when := regexp.MustCompile(`"(time|at)":"([^"]*)"`)
	for _, name := range append(marks, proofs...) {
		text := when.ReplaceAllStringFunc(ts.ReadFile(name), func(found string) string {
			parts := when.FindStringSubmatch(found)
			at, err := time.Parse(time.RFC3339Nano, parts[2])
			ts.Check(err)
			return fmt.Sprintf("%q:%q", parts[1], at.AddDate(0, 0, -days).Format(time.RFC3339Nano))
		})
		ts.Check(os.WriteFile(name, []byte(text), 0o600))
	}
}

// cmdPodman runs podman on storage of the script's own, in a folder of its own:
// podman takes no long names there.
func cmdPodman(ts *testscript.TestScript, args []string) {
	a := arrange(ts)
	cmdNeed(ts, []string{"podman"})
	if a.podman == "" {
		dir, err := os.MkdirTemp("", "podman")
		ts.Check(err)
		a.podman = dir
		a.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				a.Error(err)
			}
		})
	}
	in := func(name string) string { return filepath.Join(a.podman, name) }
	ts.Check(ts.Exec("podman", append([]string{"--root", in("root"), "--runroot", in("run"), "--tmpdir", in("tmp"),
		"--storage-driver", "vfs", "--events-backend", "none"}, args...)...))
}

// volatile is what differs from run to run and from engine to engine.
var volatile = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "sha256:ID"},
	{regexp.MustCompile(`\d{8}T\d{6}(\.\d{3})?Z(-[0-9a-f]{12}-[0-9a-f]{20})?`), "STAMP"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "ID"},
	{regexp.MustCompile(`\b\d+(\.\d+)?([kMG]?B)\b`), "SIZE"},
	{regexp.MustCompile(`\d+( of \d+)? blobs, SIZE read`), "BLOBS, SIZE read"}, // a containerd store has more
	{regexp.MustCompile(`\b\d+\.\ds\b`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`(Less than a|About an?|\d+) (second|minute|hour|day|week|month|year)s? ago`), "AGE"},
	{regexp.MustCompile(`\bin (less than a|about an?|\d+) (second|minute|hour|day|week|month|year)s?\b`), "SOON"},
	{regexp.MustCompile(`(?m)^From: .*$`), "From: ENGINE"},
	{regexp.MustCompile(`(?m)^Engine: .*$`), "Engine: ENGINE"},
	{regexp.MustCompile(`(?m)^Digest: .*\n`), ""},                                  // of containerd stores alone
	{regexp.MustCompile(`(?m)^Note: archive and engine share a disk.*\n.*\n`), ""}, // do they?
	{regexp.MustCompile(`(?m)^Export: .*\n`), ""},                                  // by which way: engines differ
	{regexp.MustCompile(`([^ \n])  +`), "$1  "},
	{regexp.MustCompile(`(?m)(^deleted: sha256:ID\n)+`), "$1"},
}

// cmdNormalise prints a file, or stdout or stderr, without what is volatile.
func cmdNormalise(ts *testscript.TestScript, args []string) {
	text := []byte(strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "WORK"))
	const unknown = "Total reclaimed space: unknown, the engine did not say"
	if a := arrange(ts); bytes.Contains(text, []byte(unknown)) && a.eng.Differs(a, enginetest.NoLayersSize) {
		text = bytes.ReplaceAll(text, []byte(unknown), []byte("Total reclaimed space: SIZE"))
	}
	for _, v := range volatile {
		text = v.find.ReplaceAll(text, []byte(v.put))
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(text)) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	_, _ = ts.Stdout().Write(out.Bytes())
}
