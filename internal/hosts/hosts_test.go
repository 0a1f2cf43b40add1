//go:build torture

package hosts

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/archprune/archprune/engine/enginetest"
)

const (
	stopped = syscall.SIGSTOP
	resumed = syscall.SIGCONT
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// same is one path for several hosts.
func same(path string, hosts int) []string {
	paths := make([]string, hosts)
	for i := range paths {
		paths[i] = path
	}
	return paths
}

func TestHostsShareAFolder(t *testing.T) {
	newScene(t, 3*time.Second, 0, same(filepath.Join(t.TempDir(), "archive"), 3)).play(4 * time.Second)
}
