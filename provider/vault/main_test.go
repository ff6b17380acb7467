package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childEnv); mode != "" {
		if err := child(mode); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// tempDir is a directory that a vault can be in, below which nothing may stay
// mounted or attached. It is not that of the test framework, whose names have
// characters of their own.
func tempDir(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this needs root, loop devices and mounts")
	}
	dir, err := os.MkdirTemp("", "vault")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What a test forgets would make the next ones fail.
		for _, m := range leftMounts(t, dir) {
			t.Errorf("%s is still mounted", m)
			_ = unix.Unmount(m, unix.MNT_DETACH)
		}
		for _, l := range leftLoops(t, dir, 0) {
			t.Errorf("%s is still attached", l)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func leftMounts(t testing.TB, dir string) []string {
	t.Helper()
	left, err := mountsBelow(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(left) / 2 {
		left[i], left[len(left)-1-i] = left[len(left)-1-i], left[i]
	}
	return left
}

// leftLoops lists the devices with files below dir, deleted ones as well, and waits for
// there to be as many as wanted: whoever looks through all devices of the machine, as
// other providers do, holds each for a moment, and it goes away only after that.
func leftLoops(t testing.TB, dir string, want int) []string {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-again.C {
		files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), dir+"/") {
				left = append(left, strings.TrimSpace(string(b)))
			}
		}
		if len(left) == want || time.Now().After(deadline) {
			return left
		}
	}
}

const testSize = 64 << 20

func config(dir string) Config { return Config{Dir: dir, Size: testSize} }

// open opens a vault that is destroyed at the end of the test.
func open(t testing.TB, cfg Config) *Vault {
	t.Helper()
	v, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, v) })
	return v
}

func destroy(t testing.TB, v *Vault) {
	t.Helper()
	if v.lock == nil {
		return
	}
	names, err := v.Volumes()
	for _, n := range names {
		err = errors.Join(err, v.RemoveVolume(context.Background(), n))
	}
	if err := errors.Join(err, v.Destroy(context.Background())); err != nil {
		t.Error(err)
	}
}

// reboot takes what a reboot takes: mounts, and keys with them.
func reboot(t testing.TB, dir string) {
	t.Helper()
	l := layout{dir}
	dropKey(filepath.Join(l.mount(), dataDir))
	for _, m := range leftMounts(t, dir) {
		if err := unix.Unmount(m, 0); err != nil {
			t.Fatal(err)
		}
	}
	if left := leftLoops(t, dir, 0); left != nil {
		t.Fatalf("%v are still attached", left)
	}
}

// disk is an ext4 of its own on a file, whose raw content can be looked at.
type disk struct {
	// raw is the file, dir a directory on it.
	raw, dir string
}

func newDisk(t testing.TB, size int64) disk {
	t.Helper()
	base := tempDir(t)
	d := disk{raw: filepath.Join(base, "disk.img"), dir: filepath.Join(base, "disk")}
	f, err := os.Create(d.raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	v := &Vault{cfg: Config{step: func(string) {}}}
	if err := v.makeExt4(t.Context(), d.raw, size, true); err != nil {
		t.Fatal(err)
	}
	dev, err := attachLoop(d.raw)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.close()
	if err := mountExt4(dev, d.dir, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unmount(d.dir, 0); err != nil {
			t.Error(err)
		}
	})
	return d
}

// find counts occurrences of a text on the whole disk, file names as well.
func (d disk) find(t testing.TB, text string) int {
	t.Helper()
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o600); err != nil {
		t.Fatal(err)
	}
	return count(t, d.raw, text)
}

// count reads a file in pieces that overlap by the length of the text.
func count(t testing.TB, path, text string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, keep := 0, 0
	buf := make([]byte, 4<<20)
	for {
		got, err := io.ReadFull(f, buf[keep:])
		part := buf[:keep+got]
		n += bytes.Count(part, []byte(text))
		if err != nil {
			return n
		}
		keep = copy(buf, part[len(part)-len(text)+1:])
	}
}

func mustWrite(t testing.TB, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t testing.TB, path, text string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != text {
		t.Fatalf("%s has %.40q, %v; want %.40q", path, b, err, text)
	}
}

// run runs this program as a child in a mode.
func run(t testing.TB, mode string, env ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), append(env, childEnv+"="+mode)...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}
