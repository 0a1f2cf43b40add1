package prune

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/archprune/archprune/engine"
)

// lookAgain gives images back that came into use while they were removed, by a
// container that the look after the removal did not show: engines show one only
// when it is made, and that may take longer.
func (r *run) lookAgain(ctx context.Context) {
	if len(r.removed) == 0 {
		return
	}
	looking, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	containers, err := r.eng.Containers(looking)
	if err != nil {
		r.note(fmt.Sprintf("looking once more for containers of what was removed: %v", err))
		return
	}
	for _, m := range r.removed {
		img := m.decision.Image
		i := slices.IndexFunc(containers, func(c engine.Container) bool { return uses(c, img) || mounted(c, img) })
		if i < 0 || !r.gone(ctx, img) { // somebody has brought it back
			continue
		}
		r.results[img.ID].Removed = engine.Removed{}
		delete(r.told, img.ID) // it was told as removed
		c := containers[i]
		r.undo(ctx, m, engine.Removed{}, fmt.Errorf("%w: container %s (%s) uses it", engine.ErrLateUse, c.Name, c.State))
	}
}

// mounted reports whether a container mounts an image that is gone.
func mounted(c engine.Container, img engine.Image) bool {
	return slices.ContainsFunc(c.Mounts, func(m engine.ImageMount) bool {
		return m.ImageID == "" && (m.Name == img.ID.String() || slices.Contains(img.References, m.Name))
	})
}
