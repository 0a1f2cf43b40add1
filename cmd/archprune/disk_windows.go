package main

import "errors"

// Engines that Windows reaches have their disks elsewhere.

func diskOf(string) (disk, error) { return disk{}, errors.ErrUnsupported }

func deviceOf(string) (uint64, error) { return 0, errors.ErrUnsupported }
