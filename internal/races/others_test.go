//go:build torture

package races

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/build"
	dockercontainer "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/internal/torture"
)

// kinds are what the others do, with how often. Each returns what it was asked
// of and which images went with it.
var kinds = map[string]struct {
	weight int
	do     func(*other, context.Context) (about string, deleted []string, err error)
}{
	"load":             {12, (*other).load},
	"import":           {3, (*other).importTar},
	"tag":              {12, (*other).tag},
	"retag":            {8, (*other).retag},
	"untag":            {8, (*other).untag},
	"remove":           {4, (*other).remove},
	"build":            {6, (*other).build},
	"commit":           {3, (*other).commit},
	"pull":             {5, (*other).pull},
	"save":             {1, (*other).save},
	"container":        {6, (*other).create},
	"start":            {4, (*other).start},
	"container-remove": {5, (*other).removeContainer},
	"mount":            {3, (*other).mount},
	"unmount":          {4, (*other).unmount},
	"prune":            {2, (*other).prune},
}

// order is the kinds, each as often as its weight says.
var order = func() []string {
	var all []string
	for kind, k := range kinds {
		all = append(all, slices.Repeat([]string{kind}, k.weight)...)
	}
	slices.Sort(all)
	return all
}()

// variants is how many different images are loaded, and pulled how many of
// these are in the registry too.
const (
	variants = 40
	pulled   = 6
	most     = 12 // containers at a time
)

// other is somebody who works on the engine through the plain Docker client.
type other struct {
	*scene
	rng   *rand.Rand
	known []image.Summary // what the engine had a while ago
	count int
}

// work goes on until ctx ends.
func (o *other) work(ctx context.Context) {
	for ctx.Err() == nil {
		if o.count%8 == 0 {
			o.known, _ = o.eng.API().ImageList(ctx, image.ListOptions{})
		}
		o.count++
		kind := order[o.rng.IntN(len(order))]
		// What was begun is ended, so that it is known what came of it.
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		done := op{kind: kind, span: span{begin: time.Now()}}
		done.about, done.deleted, done.err = kinds[kind].do(o, limited)
		cancel()
		done.end = time.Now()
		o.journal.add(done)
	}
}

// errNothing means that there was nothing to do it with.
var errNothing = errors.New("nothing there")

// name is a name that the others give, move and take.
func (o *other) name() string {
	role := []string{"keep", "drop"}[o.rng.IntN(2)]
	return fmt.Sprintf("%s-%d:%d", role, o.rng.IntN(3), o.rng.IntN(4))
}

func theirName(name string) bool {
	return strings.HasPrefix(name, "keep-") || strings.HasPrefix(name, "drop-")
}

// any chooses a name or the ID of an image that was there a while ago.
func (o *other) any(accept func(image.Summary) bool) (string, error) {
	var fit []image.Summary
	for _, img := range o.known {
		if accept(img) && (!lent(img) || o.rng.IntN(20) == 0) {
			fit = append(fit, img)
		}
	}
	if len(fit) == 0 {
		return "", errNothing
	}
	img := fit[o.rng.IntN(len(fit))]
	if len(img.RepoTags) == 0 || o.rng.IntN(3) == 0 {
		return img.ID, nil
	}
	name := img.RepoTags[o.rng.IntN(len(img.RepoTags))]
	if name == "<none>:<none>" {
		return img.ID, nil
	}
	return name, nil
}

// lent reports whether a push has the image in hand.
func lent(img image.Summary) bool { return torture.Lent(img.RepoTags, img.Labels) }

func all(image.Summary) bool      { return true }
func runs(img image.Summary) bool { return img.Labels["runs"] != "" }

// theirs accepts what the others may remove by its ID.
func (o *other) theirs(img image.Summary) bool {
	_, guarded := o.guarded[digest.Digest(img.ID)]
	return !guarded
}

func (o *other) load(ctx context.Context) (string, []string, error) {
	n := o.rng.IntN(variants)
	var names []string
	for range o.rng.IntN(4) {
		names = append(names, o.name())
	}
	slices.Sort(names)
	names = slices.Compact(names)
	about := fmt.Sprintf("variant %d as %s", n, strings.Join(names, ","))
	if o.eng.Store == engine.Classic {
		return about, nil, o.send(ctx, n, names)
	}
	// A containerd store before 28.1 loses an image whose name a load takes.
	err := o.send(ctx, n, nil)
	for _, name := range names {
		err = errors.Join(err, o.eng.API().ImageTag(ctx, o.variants[n].String(), name))
	}
	return about, nil, err
}

func (o *other) send(ctx context.Context, n int, names []string) error {
	img := variant(o.base, n)
	img.Names = names
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(enginetest.WriteArchive(w, img)) }()
	res, err := o.eng.API().ImageLoad(ctx, r)
	if err != nil {
		return err
	}
	return drain(res.Body)
}

func (o *other) importTar(ctx context.Context) (string, []string, error) {
	name := o.name()
	source := image.ImportSource{Source: tarOf(map[string]string{"imported": name}), SourceName: "-"}
	body, err := o.eng.API().ImageImport(ctx, source, name, image.ImportOptions{})
	if err != nil {
		return name, nil, err
	}
	return name, nil, drain(body)
}

func (o *other) tag(ctx context.Context) (string, []string, error) {
	from, err := o.any(all)
	if err != nil {
		return "", nil, err
	}
	to := o.name()
	return from + " as " + to, nil, o.eng.API().ImageTag(ctx, from, to)
}

// retag moves a name from one image to another.
func (o *other) retag(ctx context.Context) (string, []string, error) {
	var names []string
	for _, img := range o.known {
		names = slices.Concat(names, slices.DeleteFunc(slices.Clone(img.RepoTags), func(name string) bool { return !theirName(name) }))
	}
	if len(names) == 0 {
		return "", nil, errNothing
	}
	to := names[o.rng.IntN(len(names))]
	from, err := o.any(func(img image.Summary) bool { return !slices.Contains(img.RepoTags, to) })
	if err != nil {
		return to, nil, err
	}
	return from + " as " + to, nil, o.eng.API().ImageTag(ctx, from, to)
}

func (o *other) untag(ctx context.Context) (string, []string, error) {
	name := o.name()
	list, err := o.eng.API().ImageRemove(ctx, name, image.RemoveOptions{PruneChildren: o.rng.IntN(2) == 0})
	_, deleted := split(list)
	return name, deleted, err
}

func (o *other) remove(ctx context.Context) (string, []string, error) {
	var ids []string
	for _, img := range o.known {
		if o.theirs(img) {
			ids = append(ids, img.ID)
		}
	}
	if len(ids) == 0 {
		return "", nil, errNothing
	}
	id := ids[o.rng.IntN(len(ids))]
	list, err := o.eng.API().ImageRemove(ctx, id, image.RemoveOptions{})
	_, deleted := split(list)
	return id, deleted, err
}

func (o *other) build(ctx context.Context) (string, []string, error) {
	from := "scratch"
	if o.rng.IntN(4) > 0 {
		var err error
		if from, err = o.any(all); err != nil {
			return "", nil, err
		}
	}
	file := fmt.Sprintf("FROM %s\nCOPY f /f\nLABEL built=%d\n", from, o.rng.IntN(4))
	source := tarOf(map[string]string{"Dockerfile": file, "f": fmt.Sprint(o.rng.IntN(4))})
	opts := build.ImageBuildOptions{Version: build.BuilderV1, Remove: true, ForceRemove: true}
	if o.rng.IntN(4) > 0 {
		opts.Tags = []string{o.name()}
	}
	res, err := o.eng.API().ImageBuild(ctx, source, opts)
	if err != nil {
		return from, nil, err
	}
	return from, nil, drain(res.Body)
}

func (o *other) commit(ctx context.Context) (string, []string, error) {
	id, _ := o.journal.takeContainer(o.rng.IntN, false)
	if id == "" {
		return "", nil, errNothing
	}
	name := o.name()
	_, err := o.eng.API().ContainerCommit(ctx, id, dockercontainer.CommitOptions{Reference: name})
	return name, nil, err
}

func (o *other) pull(ctx context.Context) (string, []string, error) {
	name := o.inRegistry(o.rng.IntN(pulled))
	body, err := o.eng.API().ImagePull(ctx, name, image.PullOptions{})
	if err != nil {
		return name, nil, err
	}
	return name, nil, drain(body)
}

func (o *other) save(ctx context.Context) (string, []string, error) {
	name, err := o.any(all)
	if err != nil {
		return "", nil, err
	}
	body, err := o.eng.API().ImageSave(ctx, []string{name})
	if err != nil {
		return name, nil, err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return name, nil, err
}

func (o *other) create(ctx context.Context) (string, []string, error) {
	from, err := o.any(runs)
	if err != nil {
		return "", nil, err
	}
	if _, living := o.journal.takeContainer(o.rng.IntN, false); living >= most {
		if about, _, err := o.removeContainer(ctx); err != nil {
			return about, nil, err
		}
	}
	c := container{made: span{begin: time.Now()}}
	if c.id, err = o.container(ctx, from); err != nil {
		return from, nil, err
	}
	c.made.end = time.Now()
	now, err := o.eng.API().ContainerInspect(ctx, c.id)
	if err != nil {
		o.t.Errorf("container %s, just created: %v", c.id, err) // what it uses is not known
		return from, nil, err
	}
	c.image = digest.Digest(now.Image)
	o.journal.addContainer(c)
	return from, nil, nil
}

func (o *other) start(ctx context.Context) (string, []string, error) {
	id, _ := o.journal.takeContainer(o.rng.IntN, false)
	if id == "" {
		return "", nil, errNothing
	}
	return id, nil, o.eng.API().ContainerStart(ctx, id, dockercontainer.StartOptions{})
}

func (o *other) removeContainer(ctx context.Context) (string, []string, error) {
	id, _ := o.journal.takeContainer(o.rng.IntN, true)
	if id == "" {
		return "", nil, errNothing
	}
	err := o.eng.API().ContainerRemove(ctx, id, dockercontainer.RemoveOptions{Force: true})
	if err != nil {
		o.journal.stays(id)
	}
	return id, nil, err
}

// prune is the engine's own: of untagged images alone.
func (o *other) prune(ctx context.Context) (string, []string, error) {
	report, err := o.eng.API().ImagesPrune(ctx, filters.NewArgs(filters.Arg("dangling", "true")))
	_, deleted := split(report.ImagesDeleted)
	return "", deleted, err
}

// drain reads an answer to its end and returns the error in it.
func drain(body io.ReadCloser) error {
	defer body.Close()
	var failed error
	for dec := json.NewDecoder(body); ; {
		var m struct{ Error string }
		if err := dec.Decode(&m); err == io.EOF {
			return failed
		} else if err != nil {
			return err
		}
		if m.Error != "" {
			failed = errors.New(m.Error)
		}
	}
}

func tarOf(files map[string]string) io.Reader {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for name, content := range files {
		// Neither fails: the buffer takes all, and sizes are right.
		_ = tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
		_, _ = tw.Write([]byte(content))
	}
	_ = tw.Close()
	return &b
}
