package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/push"
	"github.com/archprune/archprune/selector"
)

func routeFlag() cli.Flag {
	return &cli.StringFlag{Name: "route", Usage: "how images leave the engine: by save, push or auto\n" +
		"`ROUTE` save gets whole images, as docker save; with push the engine sends only layers that the archive lacks; auto, the default, takes the faster."}
}

func parseRoute(c *cli.Context) (prune.Way, error) {
	switch way := prune.Way(c.String("route")); way {
	case "":
		return prune.Auto, nil
	case prune.Auto, prune.BySave, prune.ByPush:
		return way, nil
	default:
		return "", usagef("--route %q: want auto, save or push", string(way))
	}
}

// sweep takes back what a run that was killed lent to images.
func (a *app) sweep(ctx context.Context, eng *docker.Client, s engine.Snapshot) {
	if err := push.Sweep(ctx, eng, s.Borrowed); err != nil {
		a.warn("clearing what a run that was killed left in the engine: %v", err)
	}
}

// useRoutes sets up how images leave the engine for an archive, nil where none
// is to be archived, and takes back what a killed run lent to images.
func (a *app) useRoutes(c *cli.Context, eng *docker.Client, s engine.Snapshot, to push.Archive, opts *prune.Options) error {
	var err error
	if opts.Way, err = parseRoute(c); err != nil {
		return err
	}
	opts.Staging = staging(s.Engine)
	a.sweep(c.Context, eng, s)
	may, err := mayPush(c.Context, eng, opts.Way)
	if err != nil {
		return err
	}
	if to != nil && may {
		opts.OpenPush = func(ctx context.Context) (prune.Pusher, error) { return push.Open(ctx, eng, to, s.Engine) }
	}
	return nil
}

// mayPush reports whether a push is worth trying: by an engine on this host, and
// of a kind whose pushes are known. Who insists on a push gets to know why it
// is not possible.
func mayPush(ctx context.Context, eng *docker.Client, way prune.Way) (bool, error) {
	if !eng.Local() || way == prune.ByPush {
		return eng.Local(), nil
	}
	return eng.CanPush(ctx)
}

// ways are how many images leave the engine by which way.
type ways struct {
	Push int `json:"push"`
	Save int `json:"save"`

	// Teach is how many bytes that the archive has are pushed all the same, once.
	Teach int64 `json:"teach_bytes,omitempty"`
}

// foresee says by which way the images of a plan will leave that the archive,
// which may be nil, does not have. Whether the engine reaches this process
// shows when it is to push.
func foresee(ctx context.Context, plan selector.Plan, f *archive.Archive, way prune.Way, near bool) (ways, error) {
	r := prune.Routing{Want: way, Near: near, Staging: staging(plan.Snapshot.Engine),
		Info: plan.Snapshot.Engine, Containers: plan.Snapshot.Containers, Catalog: &archive.Catalog{}}
	if f != nil {
		var err error
		if r.Catalog, err = f.Catalog(ctx); err != nil {
			return ways{}, err
		}
	}
	var images []engine.Image
	for _, d := range plan.With(selector.Archive) {
		if _, ok := r.Catalog.Content(d.Image, r.Info.Store); !ok {
			images = append(images, d.Image)
		}
	}
	push, save := r.Choose(images)
	return ways{Push: len(push), Save: len(save), Teach: r.Teaches(push)}, nil
}

func (w ways) String() string {
	text := ""
	switch {
	case w.Push+w.Save == 0:
		return ""
	case w.Save == 0:
		text = "Export: by push to this process, or by save where that fails."
	case w.Push == 0:
		text = "Export: by save."
	default:
		text = fmt.Sprintf("Export: %d by push to this process, %d by save.", w.Push, w.Save)
	}
	if w.Teach > 0 {
		text += fmt.Sprintf("\nLayers of %s that come back are pushed this once: later runs send only what\nis new.", ui.Size(w.Teach))
	}
	return text
}

// done tells of a run that is over.
func (w ways) done() string {
	switch {
	case w.Push+w.Save == 0:
		return ""
	case w.Save == 0:
		return fmt.Sprintf("Export: %s by push.", plural(w.Push, "image"))
	case w.Push == 0:
		return fmt.Sprintf("Export: %s by save.", plural(w.Save, "image"))
	default:
		return fmt.Sprintf("Export: %s by push, %d by save.", plural(w.Push, "image"), w.Save)
	}
}
