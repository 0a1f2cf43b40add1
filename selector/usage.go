package selector

import (
	"errors"
	"fmt"
)

// ErrUsage is what every error of this package wraps: what was asked for is
// malformed or contradicts itself, and nothing was decided.
var ErrUsage = errors.New("invalid usage")

// usageError keeps the words of the sentinel out of the line a person reads.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }
func (e *usageError) Unwrap() error { return ErrUsage }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}
