package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/internal/metrics"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

func aboveFlag() cli.Flag {
	return &cli.StringFlag{Name: "if-disk-above", Usage: "images go only where more than `SHARE` of the engine's disk is used, such as 80%"}
}

func freeSpaceFlag() cli.Flag {
	return &cli.StringFlag{Name: "free-space", Usage: "the oldest images go, until `SIZE` is free on the engine's disk\n" +
		"Such as 20GB, or 15% of the disk. An image is as old as its last tagging; where that is unknown, its build; else its first archive."}
}

// disk is a file system. Its size is what df counts: without what is kept for
// root.
type disk struct{ free, size int64 }

func (d disk) used() float64 {
	return 100 * float64(d.size-d.free) / float64(max(1, d.size))
}

// wantedSpace is what was asked for of the engine's disk.
type wantedSpace struct {
	above   float64 // percent used
	free    int64   // bytes
	percent float64 // likewise, of the disk
	dir     string  // that is on the disk, once it is known
}

// parseSpace reads the flags; it is nil where none was given. An empty value is
// none that can be meant: a variable of a script was not set, and without a limit
// everything would go.
func parseSpace(c *cli.Context, eng *docker.Client) (*wantedSpace, error) {
	above, free := c.String("if-disk-above"), c.String("free-space")
	limits, frees := c.IsSet("if-disk-above"), c.IsSet("free-space")
	if !limits && !frees {
		return nil, nil
	}
	w := &wantedSpace{}
	var ok bool
	if w.above, ok = parsePercent(above); !ok && limits {
		return nil, usagef("--if-disk-above %q: want a share of the disk, such as 80%%", above)
	}
	if w.percent, ok = parsePercent(free); !ok && frees {
		var err error
		if w.free, err = units.FromHumanSize(free); err != nil || w.free <= 0 {
			return nil, usagef("--free-space %q: want a size such as 20GB, or a share of the disk such as 15%%", free)
		}
	}
	if !eng.Local() {
		return nil, elsewhereDisk("is reached by " + eng.Endpoint())
	}
	return w, nil
}

// elsewhereDisk refuses an engine whose disk can't be looked at.
func elsewhereDisk(why string) error {
	return fmt.Errorf("--free-space and --if-disk-above look at the engine's disk, and this engine %s: run archprune on its host", ui.Clean(why))
}

func parsePercent(text string) (float64, bool) {
	number, ok := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(percent > 0 && percent < 100) {
		return 0, false
	}
	return percent, true
}

// limits reports whether only as much goes as is needed.
func (w *wantedSpace) limits() bool { return w.free > 0 || w.percent > 0 }

// target is how much is to be free.
func (w *wantedSpace) target(d disk) int64 {
	return max(w.free, int64(w.percent/100*float64(d.size)))
}

// near refuses an engine that runs elsewhere, as behind a socket that is passed
// on. This host may have a folder of the same name, so the host's name counts.
func near(info engine.Info) error {
	host, err := os.Hostname()
	if err != nil || info.Host != host {
		return elsewhereDisk(fmt.Sprintf("says that its host is %q, and this is %q", info.Host, host))
	}
	return nil
}

// dataFolder is where the engine has its images. A containerd that is not the
// engine's own has them in its folder.
func dataFolder(info engine.Info) string {
	const containerd = "/var/lib/containerd"
	if info.Store != engine.Containerd {
		return info.RootDir
	}
	if own := filepath.Join(info.RootDir, "containerd", "daemon"); exists(own) || !exists(containerd) {
		return info.RootDir
	}
	return containerd
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// toMake is what the disk has to gain; nil is no limit.
func (w *wantedSpace) toMake(s engine.Snapshot, catalog *archive.Catalog) (*selector.Space, error) {
	if w == nil {
		return nil, nil
	}
	if err := near(s.Engine); err != nil {
		return nil, err
	}
	w.dir = dataFolder(s.Engine)
	d, err := diskOf(w.dir)
	if err != nil {
		return nil, fmt.Errorf("looking at the engine's disk: %w", err)
	}
	if w.above > 0 && d.used() <= w.above {
		w.free, w.percent = 0, 0 // then nothing is wanted
		return &selector.Space{Enough: fmt.Sprintf("%.4g%% of the engine's disk is used, not more than %g%%", d.used(), w.above)}, nil
	}
	if !w.limits() {
		return nil, nil
	}
	target := w.target(d)
	if target > d.size {
		return nil, usagef("--free-space %s: the engine's disk has %s: all would go, and not be enough", ui.Size3(target), ui.Size3(d.size))
	}
	if d.free >= target {
		return &selector.Space{Enough: fmt.Sprintf("%s is free on the engine's disk, and %s is enough", ui.Size3(d.free), ui.Size3(target))}, nil
	}
	return &selector.Space{Need: target - d.free, Enough: ui.Size3(target) + " will be free without it", FirstSeen: firstArchived(catalog)}, nil
}

func firstArchived(catalog *archive.Catalog) map[digest.Digest]time.Time {
	first := map[digest.Digest]time.Time{}
	for _, records := range [][]*archive.Record{catalog.Records, catalog.Forgotten} {
		for _, r := range records {
			if known, ok := first[r.ImageID]; !ok || r.Archived.Before(known) {
				first[r.ImageID] = r.Archived
			}
		}
	}
	return first
}

// tellSpace warns where less is free at the end of a run than was wanted.
func (a *app) tellSpace() {
	if a.space == nil {
		return
	}
	d, err := diskOf(a.space.dir)
	if target := a.space.target(d); err == nil && d.free < target {
		a.warn("%s is free on the engine's disk, not %s: no more may go by these rules, or what went freed less than was estimated",
			ui.Size3(d.free), ui.Size3(target))
	}
}

// figures tell of the disk as it is now.
func (w *wantedSpace) figures() []metrics.Gauge {
	d, err := diskOf(w.dir)
	if err != nil {
		return nil // of an engine that did not answer
	}
	return []metrics.Gauge{
		{Name: "engine_disk_free_bytes", Help: "What was free on the engine's disk at the end of the last run.", Value: float64(d.free)},
		{Name: "engine_disk_bytes", Help: "Size of the engine's disk.", Value: float64(d.size)},
	}
}

// sameDisk reports whether the engine's images and a path share a file system,
// which is only known for an engine on this host.
func sameDisk(info engine.Info, path string) bool {
	theirs, err := deviceOf(info.RootDir)
	if err != nil || near(info) != nil {
		return false
	}
	ours, err := deviceOf(nearest(path)) // an archive still to be made: its parent decides
	return err == nil && ours == theirs
}

// nearest is path or, while that is not there, the folder that it is to be in.
func nearest(path string) string {
	for {
		parent := filepath.Dir(path)
		if _, err := os.Stat(path); parent == path || !errors.Is(err, os.ErrNotExist) {
			return path
		}
		path = parent
	}
}

// staging is the room where the engine stages a save; 0 is unknown, as it is of
// an engine elsewhere.
func staging(info engine.Info) int64 {
	d, err := diskOf(info.RootDir)
	if err != nil || near(info) != nil {
		return 0
	}
	return d.free
}
