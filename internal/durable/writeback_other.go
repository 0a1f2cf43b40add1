//go:build !linux

package durable

import "os"

func steady(f *os.File) File { return f }
