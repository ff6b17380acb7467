package buildpod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/build"
)

func TestRun(t *testing.T) {
	w := newWorld(t)
	p := w.pods()
	j := w.job("one", "cat", "/src/dir/file", ";", "write", "/out/dir/made", "yes", ";", "env", "A", ";", "env", "PATH")
	j.Source = fstest.MapFS{
		"dir/file": {Data: []byte("content"), Mode: 0o600, ModTime: time.Now()},
		"link":     {Data: []byte("dir/file"), Mode: fs.ModeSymlink | 0o777},
	}
	j.Env = []string{"A=b=c"}
	j.Output = t.TempDir()
	if diff := cmp.Diff("content\nb=c\n/bin\n", w.run(p, j)); diff != "" {
		t.Error(diff)
	}
	if got, err := os.ReadFile(filepath.Join(j.Output, "dir/made")); err != nil || string(got) != "yes" {
		t.Errorf("output: %q, %v", got, err)
	}
	// A second job needs no second seal, nor another unpacked base.
	j.Output = t.TempDir()
	w.run(p, j)
	if w.images.sealed != 1 {
		t.Errorf("the base was sealed %d times", w.images.sealed)
	}
	if left := w.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, err := w.fake.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("left in the runtime: %v, %v", all, err)
	}
}

// TestSpec: a job is given no more than it says.
func TestSpec(t *testing.T) {
	w := newWorld(t)
	p := w.pods()
	b := w.job("one", "x")
	b.Env, b.Caches, b.MemoryBytes = []string{"B=1"}, []string{"go"}, 5
	j, err := p.newJob(b)
	if err != nil {
		t.Fatal(err)
	}
	s := j.spec(&base{}, w.images.img)
	c := s.Containers[0]
	if !s.Offline || c.Nested || len(s.Secrets) > 0 || len(c.Env) != 1 || len(c.Ports) > 0 || len(c.Mounts) != 1 || len(c.Binds) != 3 {
		t.Errorf("got %+v", s)
	}
	if c.Resources.MemoryBytes != 5 || c.Resources.CPUMillis != defaultCPU || c.Resources.PIDs != defaultPIDs {
		t.Errorf("limits: %+v", c.Resources)
	}
	if !s.ID.Build() || s.Publisher != "build:one" || !strings.HasPrefix(string(s.ID), string(s.Pod)) {
		t.Errorf("names: %s of %s of %s", s.ID, s.Pod, s.Publisher)
	}
	b.Egress, b.Nested = true, true
	if j, err = p.newJob(b); err != nil {
		t.Fatal(err)
	}
	if s := j.spec(&base{}, w.images.img); s.Offline || !s.Containers[0].Nested {
		t.Errorf("got %+v", s)
	}
}

func TestRefusedJobs(t *testing.T) {
	w := newWorld(t)
	p := w.pods()
	for name, change := range map[string]func(*build.Job){
		"no namespace":       func(j *build.Job) { j.Namespace = "" },
		"no image":           func(j *build.Job) { j.Image = nil },
		"no command":         func(j *build.Job) { j.Argv = nil },
		"a relative dir":     func(j *build.Job) { j.Dir = "src" },
		"no variable":        func(j *build.Job) { j.Env = []string{"A"} },
		"a nameless one":     func(j *build.Job) { j.Env = []string{"=a"} },
		"a cache above":      func(j *build.Job) { j.Caches = []string{".."} },
		"a path as cache":    func(j *build.Job) { j.Caches = []string{"a/b"} },
		"a cache with a dot": func(j *build.Job) { j.Caches = []string{"a.b"} },
		"a cache twice":      func(j *build.Job) { j.Caches = []string{"a", "a"} },
		"too many caches":    func(j *build.Job) { j.Caches = strings.Split("a b c d e f g h i", " ") },
		"time backwards":     func(j *build.Job) { j.Time = -1 },
	} {
		j := w.job("one", "echo")
		change(&j)
		if err := p.Run(t.Context(), j); status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != "build.job" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := New(Config{Dir: "x"}); status.ReasonOf(err) != "buildpod.config" {
		t.Errorf("a configuration of nothing: %v", err)
	}
}

func TestEnds(t *testing.T) {
	w := newWorld(t)
	p := w.pods()
	for _, c := range []struct {
		name   string
		job    build.Job
		reason string
		says   string
		log    []string
	}{
		{"a status", w.job("one", "echo", "why", ";", "exit", "3"), "build.command", "status 3", []string{"why"}},
		{"a signal", w.job("one", "exit", "139"), "build.command", "(SIGSEGV)", nil},
		{"no program", build.Job{Namespace: "one", Image: w.base, Argv: []string{"/missing"}}, "build.command", "not in its image", nil},
		{"too long", func() build.Job {
			j := w.job("one", "echo", "why", ";", "stubborn")
			j.Time = 50 * time.Millisecond
			return j
		}(), "build.time", "50ms", []string{"why"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.job.Output = t.TempDir()
			err := p.Run(t.Context(), c.job)
			if status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v", err)
			}
			var e *status.Error
			if errors.As(err, &e); cmp.Diff(c.log, e.Log) != "" {
				t.Errorf("the last lines: %q", e.Log)
			}
			if left := w.left(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestGivenUp: whoever gives up a job gets the end of it.
func TestGivenUp(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	p := w.pods(func(c *Config) {
		c.step = func(name string) error {
			if name == "started" {
				cancel()
			}
			return nil
		}
	})
	if err := p.Run(ctx, w.job("one", "stubborn")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := w.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestLogIsBounded(t *testing.T) {
	w := newWorld(t)
	p := w.pods(func(c *Config) { c.Defaults.LogBytes = 100 })
	var script []string
	for i := range 50 {
		script = append(script, "echo", fmt.Sprintf("line %d of fifty", i), ";")
	}
	j := w.job("one", append(script, "exit", "1")...)
	var log bytes.Buffer
	j.Log = &log
	var e *status.Error
	if err := p.Run(t.Context(), j); !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	if log.Len() > 200 || !strings.Contains(log.String(), "left out") || strings.Count(log.String(), "line") > 6 {
		t.Errorf("got %q", log.String())
	}
	// The end is what tells why it failed.
	if len(e.Log) != lastLines || e.Log[len(e.Log)-1] != "line 49 of fifty" {
		t.Errorf("the last lines: %q", e.Log)
	}
}

func TestManyAtATime(t *testing.T) {
	w := newWorld(t)
	p := w.pods(func(c *Config) { c.Now = nil })
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			j := w.job(fmt.Sprint("ns", i%2), "write", "/out/x", fmt.Sprint(i), ";", "write", "/cache/c/"+fmt.Sprint(i), "x")
			j.Caches, j.Output = []string{"c"}, t.TempDir()
			if err := p.Run(t.Context(), j); err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(filepath.Join(j.Output, "x")); err != nil || string(got) != fmt.Sprint(i) {
				t.Errorf("job %d: %q, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	if left := w.left(); len(left) > 0 || w.images.sealed != 1 {
		t.Errorf("left: %v, sealed %d times", left, w.images.sealed)
	}
	if n := len(w.caches()); n != 2 {
		t.Errorf("%d caches of two namespaces", n)
	}
}

// TestFailures: whatever fails, nothing of the job stays.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	broken := errors.New("broken")
	for _, call := range []string{"Create", "Start", "List"} {
		p := w.pods()
		if call == "Create" {
			// The first one keeps the base unpacked, and may fail.
			w.run(p, w.job("one", "echo"))
		}
		w.fake.Fail(call, broken)
		if err := p.Run(t.Context(), w.job("one", "echo", "x")); !errors.Is(err, broken) {
			t.Errorf("%s: got %v", call, err)
		}
		if left := w.left(); len(left) > 0 {
			t.Errorf("%s: left: %v", call, left)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestKill ends the process at each step; the next one removes what is left.
func TestKill(t *testing.T) {
	for _, step := range []string{"sealed", "created", "filled", "started", "ended", "copied", "removed"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			reached := false
			p := w.pods(func(c *Config) {
				l := c.Disks.(disks).life
				c.step = func(name string) error {
					if name == step {
						reached = true
						return l.kill()
					}
					return l.err()
				}
			})
			j := w.job("one", "write", "/cache/c/x", "kept", ";", "write", "/out/x", "x")
			j.Caches, j.Output = []string{"c"}, t.TempDir()
			j.Source = fstest.MapFS{"a": {}}
			if err := p.Run(t.Context(), j); !errors.Is(err, errDead) || !reached {
				t.Fatalf("got %v", err)
			}
			if left := w.left(); len(left) == 0 && step != "sealed" {
				t.Error("a killed process has cleaned up")
			}
			next := w.pods()
			if err := next.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if all, err := w.fake.List(t.Context()); len(w.left()) > 0 || len(all) > 0 || err != nil {
				t.Errorf("left: %v, %v, %v", w.left(), all, err)
			}
			j.Output = t.TempDir()
			w.run(next, j)
			if n := len(w.images.owners); n != 1 {
				t.Errorf("%d seals of one base are kept", n)
			}
		})
	}
}

// TestSweepIsOfBuildsAlone leaves pods, their volumes and their images.
func TestSweepIsOfBuildsAlone(t *testing.T) {
	w := newWorld(t)
	s := provider.InstanceSpec{ID: "pod-1-0", Pod: "pod", Publisher: "p", Name: "web", Class: "runc"}
	b, _ := w.pods().newJob(w.job("one", "sleep"))
	s.Containers = b.spec(&base{}, w.images.img).Containers
	s.Containers[0].Binds, s.Containers[0].Key = nil, w.images.key
	if _, err := w.fake.Create(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := (disks{w.disks(), &life{}}).Open(t.Context(), "pod.job-1", 0); err != nil {
		t.Fatal(err)
	}
	w.images.owners["pod-1-0"], w.images.owners["buildpod-x"] = true, true
	if err := w.pods().Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pod-1-0", "pod.job-1"}, w.left()); diff != "" {
		t.Error(diff)
	}
	if !w.images.owners["pod-1-0"] || w.images.owners["buildpod-x"] {
		t.Errorf("owners: %v", w.images.owners)
	}
}
