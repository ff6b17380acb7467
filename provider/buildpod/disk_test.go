package buildpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"apocryph/proto/status"
	"apocryph/provider"
)

// memoryDisks are file systems in memory, with a size.
type memoryDisks struct {
	disks
	mu   sync.Mutex
	open map[string]bool
}

func (m *memoryDisks) Open(ctx context.Context, name string, bytes uint64) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path, err := m.disks.Open(ctx, name, bytes)
	if err == nil && !m.open[name] {
		err = unix.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%d", bytes))
		m.open[name] = err == nil
	}
	return path, err
}

func (m *memoryDisks) Remove(ctx context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open[name] {
		if err := unix.Unmount(filepath.Join(m.dir, name), 0); err != nil {
			return err
		}
		delete(m.open, name)
	}
	return m.disks.Remove(ctx, name)
}

func TestDiskIsBounded(t *testing.T) {
	w := newWorld(t)
	d := &memoryDisks{disks: disks{w.disks(), &life{}}, open: map[string]bool{}}
	w.fake.Disks = d
	p := w.pods(func(c *Config) { c.Disks = d })
	big := strings.Repeat("x", 9<<20)
	for name, j := range map[string]struct {
		script []string
		tree   fstest.MapFS
	}{
		"output": {script: []string{"write", "/out/x", big}},
		"temp":   {script: []string{"write", "/tmp/x", big}},
		"source": {script: []string{"echo"}, tree: fstest.MapFS{"x": {Data: []byte(big)}}},
	} {
		job := w.job("one", j.script...)
		job.Output = t.TempDir()
		if j.tree != nil {
			job.Source = j.tree
		}
		if err := p.Run(t.Context(), job); status.CodeOf(err) != status.ResourceExhausted || status.ReasonOf(err) != "build.disk" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// A job that fails for another reason is not told that.
	if err := p.Run(t.Context(), w.job("one", "write", "/out/x", "x", ";", "exit", "1")); status.ReasonOf(err) != "build.command" {
		t.Errorf("got %v", err)
	}
	if left := w.left(); len(left) > 0 || len(d.open) > 0 {
		t.Errorf("left: %v, %v", left, d.open)
	}
}

// fat is a runtime whose root file systems are as large as it says.
type fat uint64

func (f fat) RootBytes(context.Context, provider.InstanceID) (uint64, error) {
	if f == 0 {
		return 0, errors.New("a file has gone")
	}
	return uint64(f), nil
}

func TestRootIsBounded(t *testing.T) {
	w := newWorld(t)
	p := w.pods(func(c *Config) { c.Roots = fat(9 << 20) })
	if err := p.Run(t.Context(), w.job("one", "echo", "x", ";", "stubborn")); status.ReasonOf(err) != "build.disk" {
		t.Errorf("got %v", err)
	}
	for _, f := range []fat{0, 8 << 20} {
		p = w.pods(func(c *Config) { c.Roots, c.Defaults.Time = f, measureEvery*3/2 })
		if err := p.Run(t.Context(), w.job("one", "stubborn")); status.ReasonOf(err) != "build.time" {
			t.Errorf("%d bytes: got %v", f, err)
		}
	}
	if _, err := os.Stat(w.disks()); err != nil {
		t.Error(err)
	}
}
