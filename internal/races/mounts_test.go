//go:build torture

package races

import (
	"context"
	"errors"
	"time"

	dockercontainer "github.com/docker/docker/api/types/container"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// mostMounts at a time. While the name of one is gone no image may go, so they
// are few.
const mostMounts = 2

// mount creates a container that mounts an image. The container is real, of an
// image that stays; the mount is shown by the wire. So the engine would let the
// image go, as real engines do that have image mounts.
func (o *other) mount(ctx context.Context) (string, []string, error) {
	from, err := o.any(o.theirs)
	if err != nil || len(o.journal.mounted()) >= mostMounts {
		return "", nil, errNothing
	}
	m := mounting{container: container{made: span{begin: time.Now()}}, name: from}
	if m.id, err = o.container(ctx, "used-0:1"); err != nil {
		return from, nil, err
	}
	img, err := o.eng.API().ImageInspect(ctx, from)
	if err != nil {
		return from, nil, errors.Join(err, o.eng.API().ContainerRemove(ctx, m.id, dockercontainer.RemoveOptions{}))
	}
	m.image = digest.Digest(img.ID)
	if o.eng.Store == engine.Classic {
		m.name = img.ID // where a load moves a name, such an engine does not tell
	}
	o.journal.addMount(m)
	return from, nil, nil
}

func (o *other) unmount(ctx context.Context) (string, []string, error) {
	id := o.journal.takeMount()
	if id == "" {
		return "", nil, errNothing
	}
	return id, nil, o.eng.API().ContainerRemove(ctx, id, dockercontainer.RemoveOptions{Force: true})
}

// container creates a container that would end at once.
func (o *other) container(ctx context.Context, image string) (id string, err error) {
	res, err := o.eng.API().ContainerCreate(ctx, &dockercontainer.Config{Image: image, Cmd: []string{"/bin/true"}},
		&dockercontainer.HostConfig{NetworkMode: "none"}, nil, nil, "")
	return res.ID, err
}
