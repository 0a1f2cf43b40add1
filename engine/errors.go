package engine

import "errors"

var (
	// ErrNotFound means that the engine has no such image.
	ErrNotFound = errors.New("no such image")
	// ErrConflict means that the engine refuses because the image is in use
	// or has another name.
	ErrConflict = errors.New("conflict")
	// ErrUnavailable means that no engine answered.
	ErrUnavailable = errors.New("engine not reachable")
	// ErrUnsafe means that this engine offers no removal that could not hit
	// another image.
	ErrUnsafe = errors.New("no safe removal")
	// ErrLateUse means that an image came into use in the moment of its
	// removal. It is gone and should be restored.
	ErrLateUse = errors.New("came into use while it was removed")
	// ErrCollected means that the engine's own garbage collection took a layer
	// that a load was building on. The same load succeeds later.
	ErrCollected = errors.New("collected meanwhile")
)
