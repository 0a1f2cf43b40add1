//go:build !linux

package durable

import "os"

func steady(f *os.File) File { return f }

// ReadAhead does nothing on this system.
func ReadAhead(*os.File) {}
