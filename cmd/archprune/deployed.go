package main

import (
	"context"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
)

// inUse is what is known of the use of archived images.
type inUse struct {
	uses   []retention.Use
	others []string // hosts whose images are archived and whose engines were not asked
}

// askInUse asks the engine what is in use. Where it can't be asked, every name
// may be in use, which is said, unless it makes no difference.
func (a *app) askInUse(c *cli.Context, records []*archive.Record, evenLast bool) (inUse, error) {
	eng, err := a.engine(c)
	if err != nil {
		return inUse{}, err
	}
	defer eng.Close()
	snapshot, err := eng.Snapshot(c.Context)
	switch {
	case err == nil:
		return inUse{usesOf(snapshot), otherHosts(snapshot.Engine, records)}, nil
	case c.Context.Err() != nil:
		return inUse{}, context.Cause(c.Context)
	case evenLast:
		return inUse{}, nil
	}
	a.warn("what is in use can't be told, so the newest archive of every name stays (--even-last lets it go): %v", err)
	return inUse{uses: anyUse(records)}, nil
}

// usesOf lists what containers in any state, their mounts and services use.
func usesOf(s engine.Snapshot) []retention.Use {
	var uses []retention.Use
	for _, c := range s.Containers {
		where := "container " + c.Name
		if c.State != "" {
			where += " (" + c.State + ")"
		}
		uses = append(uses, retention.Use{Reference: nameOfUse(c.Image, c.ImageID), ID: c.ImageID, Where: where})
		for _, m := range c.Mounts {
			uses = append(uses, retention.Use{Reference: nameOfUse(m.Name, m.ImageID), ID: m.ImageID, Where: where + ", which mounts it"})
		}
	}
	for _, service := range s.Services {
		uses = append(uses, usesOfService(service)...)
	}
	return uses
}

// usesOfService has the service's image by its tag and by its digest, since an
// archive may know it by either.
func usesOfService(s engine.Service) []retention.Use {
	where := "service " + s.Name
	name, pinned, ok := strings.Cut(s.Image, "@")
	tagged, _ := archive.Familiar(name)
	u := retention.Use{Reference: tagged, ID: digest.Digest(pinned), Where: where}
	if !ok {
		return []retention.Use{u}
	}
	canonical, _ := archive.Familiar(s.Image)
	return []retention.Use{u, {Reference: canonical, Where: where}}
}

// nameOfUse is the reference that an image is used by, if it is one and not
// its ID.
func nameOfUse(image string, id digest.Digest) string {
	digits := strings.TrimPrefix(image, "sha256:")
	if digits == "" || id != "" && strings.HasPrefix(id.Encoded(), digits) {
		return ""
	}
	ref, _ := archive.Familiar(image)
	return ref
}

// anyUse is for an engine that can't be asked: any name may be in use.
func anyUse(records []*archive.Record) []retention.Use {
	var uses []retention.Use
	for _, r := range records {
		for _, ref := range r.References {
			uses = append(uses, retention.Use{Reference: ref, Maybe: true})
		}
	}
	return uses
}

// otherHosts lists where else than from this engine images were archived.
func otherHosts(info engine.Info, records []*archive.Record) []string {
	var hosts []string
	for _, r := range records {
		if r.Engine.ID != info.ID && r.Engine.Host != info.Host && r.Engine.Host != "" {
			hosts = append(hosts, r.Engine.Host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
