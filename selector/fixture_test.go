package selector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/engine"
	"github.com/opencontainers/go-digest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// id makes an ID that begins with the given hex digits.
func id(hex string) digest.Digest {
	return digest.Digest("sha256:" + hex + strings.Repeat("0", 64-len(hex)))
}

// image makes an image a month old.
func image(hex string, refs ...string) engine.Image {
	return engine.Image{ID: id(hex), References: refs, Created: now.AddDate(0, -1, 0)}
}

// with changes an image.
func with(img engine.Image, change func(*engine.Image)) engine.Image {
	change(&img)
	return img
}

func aged(img engine.Image, age time.Duration) engine.Image {
	img.Created = now.Add(-age)
	return img
}

func snapshot(images ...engine.Image) engine.Snapshot {
	return engine.Snapshot{Taken: now, Engine: engine.Info{Store: engine.Classic}, Images: images}
}

func patterns(t testing.TB, texts ...string) Patterns {
	t.Helper()
	p, err := ParsePatterns(texts)
	if err != nil {
		t.Fatalf("ParsePatterns(%q) = %v", texts, err)
	}
	return p
}

func filters(t testing.TB, args ...string) Filters {
	t.Helper()
	f, err := ParseFilters(args, now)
	if err != nil {
		t.Fatalf("ParseFilters(%q) = %v", args, err)
	}
	return f
}

// lines writes a plan as a person might, one image a line.
func lines(p Plan) []string {
	var out []string
	for _, d := range p.Decisions {
		var texts []string
		for _, r := range d.Reasons {
			texts = append(texts, r.Text)
		}
		out = append(out, fmt.Sprintf("%s %s: %s", newSubject(d.Image).title(), d.Action, strings.Join(texts, "; ")))
	}
	return out
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// world makes a snapshot with a bit of everything.
func world(r *rand.Rand, n int) engine.Snapshot {
	s := engine.Snapshot{Taken: now, Engine: engine.Info{Store: pick(r, []engine.StoreKind{engine.Classic, engine.Containerd})}}
	repos := []string{"demo-api", "web", "ghcr.io/team/app", "localhost:5000/base"}
	for i := range n {
		img := engine.Image{
			ID:         digest.FromString(fmt.Sprint("image", i)),
			Created:    now.Add(-time.Duration(r.IntN(100)) * time.Hour),
			DiffIDs:    []digest.Digest{digest.FromString(fmt.Sprint("base", r.IntN(3))), digest.FromString(fmt.Sprint("layer", i))},
			LayerSizes: []int64{1000, int64(r.IntN(100))},
			Labels:     map[string]string{"stage": pick(r, []string{"dev", "test"})},
		}
		for range r.IntN(3) {
			img.References = append(img.References, fmt.Sprintf("%s:%d.%d", pick(r, repos), i, r.IntN(20)))
		}
		if r.IntN(3) == 0 {
			img.RepoDigests = append(img.RepoDigests, pick(r, repos)+"@"+digest.FromString(fmt.Sprint("manifest", i)).String())
		}
		if i > 0 && r.IntN(3) == 0 {
			img.ParentID = s.Images[r.IntN(i)].ID
		}
		if r.IntN(5) == 0 {
			img.Manifests = []engine.Manifest{{Digest: digest.FromString(fmt.Sprint("manifest", i)), Kind: "image", Available: r.IntN(2) == 0}}
		}
		s.Images = append(s.Images, img)
	}
	for i := range r.IntN(4) {
		img := pick(r, s.Images)
		c := engine.Container{ID: fmt.Sprint(i), Name: fmt.Sprint("c", r.IntN(4)), State: "exited", ImageID: img.ID}
		if len(img.Manifests) > 0 {
			c.ImageID = img.Manifests[0].Digest
		}
		if r.IntN(2) == 0 {
			c.Mounts = []engine.ImageMount{{Name: "web:1", ImageID: pick(r, s.Images).ID}}
		}
		s.Containers = append(s.Containers, c)
	}
	if r.IntN(2) == 0 {
		s.Services = []engine.Service{{Name: "front", Image: "web:1.1"}, {Name: "back", Image: "demo-api:2.2"}}
	}
	return s
}

// anyPolicy makes a policy that Validate accepts.
func anyPolicy(t testing.TB, r *rand.Rand) Policy {
	t.Helper()
	p := Policy{KeepLast: r.IntN(3), MinAge: time.Duration(r.IntN(3)*20) * time.Hour}
	switch r.IntN(4) {
	case 0:
		p.Keep = patterns(t, pick(r, []string{"demo-api:*", "**/app", "!web", "{web,demo-api}:1*"}))
	case 1:
		p.KeepNothing = true
	case 2:
		p.Dangling = true
	}
	if r.IntN(2) == 0 {
		p.Protect = patterns(t, pick(r, []string{"web", "ghcr.io/**", "demo-api:?.1"}))
	}
	if r.IntN(2) == 0 {
		p.Filters = filters(t, pick(r, []string{"until=24h", "label=stage=dev", "label!=stage=dev"}))
	}
	return p
}

func shuffled(r *rand.Rand, s engine.Snapshot) engine.Snapshot {
	s.Images, s.Containers, s.Services = slices.Clone(s.Images), slices.Clone(s.Containers), slices.Clone(s.Services)
	r.Shuffle(len(s.Images), func(i, j int) { s.Images[i], s.Images[j] = s.Images[j], s.Images[i] })
	r.Shuffle(len(s.Containers), func(i, j int) { s.Containers[i], s.Containers[j] = s.Containers[j], s.Containers[i] })
	r.Shuffle(len(s.Services), func(i, j int) { s.Services[i], s.Services[j] = s.Services[j], s.Services[i] })
	return s
}
