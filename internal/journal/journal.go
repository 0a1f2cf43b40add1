// Package journal keeps what runs meant to do and what they did, for who looks
// after a crash: a folder with a file for each run, a line of JSON for each
// thing that happened. A removal is on the disk here before it happens.
package journal

import "time"

// Line is one line of a run's file. It has one of the three.
type Line struct {
	Time  time.Time `json:"time"`
	Start *Start    `json:"start,omitempty"` // the first line
	Image *Image    `json:"image,omitempty"`
	End   *End      `json:"end,omitempty"` // the last line
}

// Start is what a run was about to do.
type Start struct {
	Version   string   `json:"version"`
	Host      string   `json:"host"`
	Command   string   `json:"command"` // such as save-and-prune
	Arguments []string `json:"arguments"`
	Engine    string   `json:"engine,omitempty"`
	Archive   string   `json:"archive,omitempty"`
	Plan      *Plan    `json:"plan,omitempty"`
}

// Plan is how many images were to go which way.
type Plan struct {
	Archive int `json:"archive"`
	Remove  int `json:"remove"` // without an archive
	Keep    int `json:"keep"`
}

// Removing is the outcome of an image that is about to be removed: what became
// of it is in a later line, unless the run ended in between.
const Removing = "removing"

// Image is what is about to become of an image, or became of it.
type Image struct {
	Outcome    string   `json:"outcome"`
	ID         string   `json:"id"`
	References []string `json:"references"`
	Archive    string   `json:"archive,omitempty"` // where its record is
	Record     string   `json:"record,omitempty"`  // that gives it back
	Reason     string   `json:"reason,omitempty"`  // why it is otherwise than planned

	BuildParent bool `json:"build_parent,omitempty"` // docker hides it, and plans count it apart
}

// End is what a run came to.
type End struct {
	Status int            `json:"exit_status"`
	Error  string         `json:"error,omitempty"`
	Images map[string]int `json:"images"`              // how many by outcome
	Freed  int64          `json:"freed_bytes"`         // -1 where it is not known
	Added  int64          `json:"archive_added_bytes"` // what the archive grew by
}
