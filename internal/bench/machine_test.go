package bench

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is what /proc counts processor time in.
const tick = time.Second / 100

// treeCPU is the processor time of a process and of all below it, with those
// that have ended.
func treeCPU(root int) (time.Duration, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	parents, times := map[int]int{}, map[int]time.Duration{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// The command's name, in parentheses, may have spaces.
		fields := strings.Fields(string(data[strings.LastIndex(string(data), ")")+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parents[pid], _ = strconv.Atoi(fields[1])
		for _, field := range fields[11:15] { // utime, stime, cutime, cstime
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			times[pid] += time.Duration(n) * tick
		}
	}
	var total time.Duration
	for pid, took := range times {
		for p := pid; p > 0; p = parents[p] {
			if p == root {
				total += took
				break
			}
		}
	}
	return total, nil
}

// machine is a word on what the figures were measured on.
func machine(dir string) string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`).FindSubmatch(data); m != nil {
			model = string(m[1])
		}
	}
	var memory unix.Sysinfo_t
	_ = unix.Sysinfo(&memory)
	kind := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "XFS", unix.BTRFS_SUPER_MAGIC: "Btrfs", unix.TMPFS_MAGIC: "tmpfs"}
	var disk unix.Statfs_t
	_ = unix.Statfs(dir, &disk)
	name, ok := kind[disk.Type]
	if !ok {
		name = fmt.Sprintf("file system %#x", disk.Type)
	}
	return fmt.Sprintf("%d cores (%s), %d GB of memory, %s", runtime.NumCPU(), model, memory.Totalram*uint64(memory.Unit)/1e9, name)
}

// dropCaches empties the page cache of the machine.
func dropCaches() error {
	unix.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// sizeOf is the size of a file, or of all files in a folder; 0 of what is not
// there.
func sizeOf(name string) (int64, error) {
	var total int64
	err := filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) && path == name {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
