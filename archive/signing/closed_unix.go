//go:build unix

package signing

import (
	"fmt"
	"os"
	"syscall"
)

// closed refuses, as ssh does, a private key that others can read.
func closed(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(owner.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: others may read this private key (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	return nil
}
