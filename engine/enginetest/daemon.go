package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// launch runs as the first process of its own mount and process namespaces
// and becomes dockerd, so that ending it ends containerd and all containers,
// and their mounts go with the namespace.
//
// The empty /run matters on a machine with an engine: dockerd would use a
// containerd that listens there instead of starting its own. /etc/docker is
// where engines before 25 keep the key that their ID is made from.
const launch = `set -eu
root=$1 dir=$2 dockerd=$3
mount --make-rprivate /
if [ -n "$root" ]; then
	# containerd looks up the mount that its folders are on: the root must be one.
	mount --bind "$root" "$root"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
	mkdir -p "$root$dir"
	mount --rbind "$dir" "$root$dir"
fi
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/etc/docker"
mount --bind "$dir/etc" "$root/etc/docker"
exec chroot "${root:-/}" "$dockerd" --config-file "$dir/daemon.json"
`

const (
	stopWait = 20 * time.Second // bounds a graceful shutdown
	killWait = 2 * time.Minute  // bounds one by SIGKILL, which waits for the disk
)

// daemon is a running dockerd.
type daemon struct {
	process *os.Process
	done    chan struct{} // closed when the process has ended
	err     error         // how it ended; read after done is closed
}

// startDaemon starts dockerd on an engine's folder. It does not wait for it
// to serve.
func startDaemon(f flavour, dir, logName string) (*daemon, error) {
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("/bin/sh", "-c", launch, "dockerd", f.root, dir, f.dockerd)
	cmd.Env = []string{"PATH=" + f.path, "HOME=/root"}
	if f.podman {
		cmd = exec.Command("/bin/sh", "-c", launchPodman, "podman", dir, f.dockerd)
		cmd.Env = []string{"PATH=" + f.path, "HOME=" + dir, "TMPDIR=" + dir + "/tmp"}
	}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	var network uintptr
	if f.ownNetwork {
		network = syscall.CLONE_NEWNET
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | network,
		Pdeathsig:  syscall.SIGKILL,
		// Ctrl-C on the terminal is for the test binary to act on.
		Setpgid: true,
	}
	d := &daemon{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread that made the process
		// ends, so this thread waits here for as long as the process lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(d.done)
		err := cmd.Start()
		d.process = cmd.Process
		started <- err
		if err == nil {
			d.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting dockerd in its own namespaces: %w", err)
	}
	return d, nil
}

// stop asks the daemon to end, and kills it if it does not in time.
func (d *daemon) stop() error {
	select {
	case <-d.done:
		return nil
	default:
	}
	_ = d.process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
		return nil
	case <-time.After(stopWait):
	}
	_ = d.process.Kill()
	select {
	case <-d.done:
		return nil
	case <-time.After(killWait):
		return fmt.Errorf("process %d survives SIGKILL", d.process.Pid)
	}
}

// tail returns the end of a log.
func tail(name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-15):], []byte("\n"))
}

// stacksWait bounds how long an engine may take to tell what it is at.
const stacksWait = 10 * time.Second

// heldUp tells what the engine is at, where a call got no answer in time: the
// stacks of what its API was asked for, and the end of its log.
func (e *Engine) heldUp(err error) string {
	if !errors.Is(err, context.DeadlineExceeded) {
		return ""
	}
	_ = e.daemon.process.Signal(syscall.SIGUSR1)
	var stacks []byte
	for began := time.Now(); len(stacks) == 0 && time.Since(began) < stacksWait; time.Sleep(100 * time.Millisecond) {
		names, _ := filepath.Glob(filepath.Join(e.Dir, "exec", "goroutine-stacks-*"))
		if len(names) > 0 {
			stacks, _ = os.ReadFile(names[len(names)-1])
		}
	}
	var said bytes.Buffer
	for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		if bytes.Contains(stack, []byte("docker/daemon.(*Daemon).")) || bytes.Contains(stack, []byte("[syscall, ")) {
			fmt.Fprintf(&said, "\n%s\n", stack)
		}
	}
	return fmt.Sprintf("\nThe engine did not answer. It is at:\n%s\nIts log ends with:\n%s", &said, tail(e.Log))
}
