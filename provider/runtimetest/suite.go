package runtimetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/manifest"
	"apocryph/provider"
)

// Runtime is everything that a provider asks of a runtime.
type Runtime interface {
	provider.Runtime
	provider.Instances
	provider.Volumes
	provider.Logs
}

// Patience bounds how long the suite waits for something that has to happen.
const Patience = 30 * time.Second

// Test runs the contract of runtimes. New returns a runtime that is ready; it
// may return the same one each time, since the suite's instances never clash.
func Test(t *testing.T, newRuntime func(t *testing.T) Runtime) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *Bench)
	}{
		{"Lifecycle", testLifecycle},
		{"CreateAgainReplaces", testCreateAgain},
		{"Exit", testExit},
		{"Grace", testGrace},
		{"Exec", testExec},
		{"CommandLine", testCommandLine},
		{"Environment", testEnvironment},
		{"Logs", testLogs},
		{"LogsFollow", testLogsFollow},
		{"Secrets", testSecrets},
		{"PersistentVolumes", testPersistent},
		{"EmptyVolumes", testEmpty},
		{"Binds", testBinds},
		{"Offline", testOffline},
		{"Containers", testContainers},
		{"Keys", testKeys},
		{"DamagedImages", testDamaged},
		{"SlowLayers", testSlowLayers},
		{"Refusals", testRefusals},
		{"Missing", testMissing},
		{"Parallel", testParallel},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, NewBench(t, newRuntime(t))) })
	}
}

// Bench is a runtime under test, with short ways to say what tests say often.
type Bench struct {
	Runtime
	t  *testing.T
	id string
	n  int
}

// NewBench makes a bench whose instances have names of their own.
func NewBench(t *testing.T, rt Runtime) *Bench {
	return &Bench{Runtime: rt, t: t, id: strings.ToLower(rand.Text())}
}

var shared struct {
	once  sync.Once
	image *provider.Image
	key   []byte
}

// Image is an encrypted image of the probe alone, the same at each call.
func (b *Bench) Image() (*provider.Image, []byte) {
	shared.once.Do(func() {
		shared.image, shared.key = Build(b.t, Image{Config: ocispec.ImageConfig{Entrypoint: []string{Probe}, Cmd: []string{"echo", "default", ";", "sleep"}}})
	})
	return shared.image, shared.key
}

// Spec is an instance of a pod of its own, with one container "main" that runs
// a script.
func (b *Bench) Spec(args ...string) provider.InstanceSpec {
	b.n++
	pod := fmt.Sprintf("%s%d", b.id, b.n)
	return provider.InstanceSpec{
		ID: provider.InstanceID(pod + "-1-0"), Pod: provider.PodID(pod), Publisher: "12D3KooWTest",
		Name: "web", Class: "runc", Containers: []provider.ContainerSpec{b.Container("main", args...)},
	}
}

// Container is a container with small limits that runs a script.
func (b *Bench) Container(name string, args ...string) provider.ContainerSpec {
	img, key := b.Image()
	return provider.ContainerSpec{
		Container: manifest.Container{Name: name, Args: args, Resources: manifest.Resources{CPUMillis: 1000, MemoryBytes: 128 << 20, PIDs: 128}},
		Image:     img, Key: key,
	}
}

// Create makes an instance and removes it when the test ends.
func (b *Bench) Create(s provider.InstanceSpec) provider.Created {
	b.t.Helper()
	out, err := b.Runtime.Create(b.t.Context(), s, nil)
	if err != nil {
		b.t.Fatalf("creating: %v", err)
	}
	b.cleanup(s)
	return out
}

// cleanup removes an instance and its pod's volumes when the test ends.
func (b *Bench) cleanup(s provider.InstanceSpec) {
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := b.Remove(ctx, s.ID, 0); err != nil {
			b.t.Errorf("removing: %v", err)
		}
		if err := b.RemoveVolumes(ctx, s.Pod); err != nil {
			b.t.Errorf("removing volumes: %v", err)
		}
	})
}

// Up makes and starts an instance.
func (b *Bench) Up(s provider.InstanceSpec) provider.Created {
	b.t.Helper()
	out := b.Create(s)
	if err := b.Start(b.t.Context(), s.ID); err != nil {
		b.t.Fatalf("starting: %v", err)
	}
	return out
}

// Gone removes an instance now.
func (b *Bench) Gone(s provider.InstanceSpec) {
	b.t.Helper()
	if err := b.Remove(b.t.Context(), s.ID, 0); err != nil {
		b.t.Fatalf("removing: %v", err)
	}
}

// Find is the instance as listed, nil when it is not.
func (b *Bench) Find(id provider.InstanceID) *provider.Instance {
	b.t.Helper()
	all, err := b.List(b.t.Context())
	if err != nil {
		b.t.Fatalf("listing: %v", err)
	}
	for _, in := range all {
		if in.ID == id {
			return &in
		}
	}
	return nil
}

// Wait polls until ok is true.
func (b *Bench) Wait(what string, ok func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Stopped waits until a container has ended, and returns how.
func (b *Bench) Stopped(id provider.InstanceID, container string) provider.ContainerState {
	b.t.Helper()
	var out provider.ContainerState
	b.Wait("the end of "+container, func() bool {
		in := b.Find(id)
		if in == nil {
			b.t.Fatalf("%s is not listed", id)
		}
		for _, c := range in.Containers {
			if c.Name == container && !c.Running && c.ExitCode >= 0 {
				out = c
				return true
			}
		}
		return false
	})
	return out
}

// Logs are the lines of an instance that are there now.
func (b *Bench) Logs(q provider.LogQuery) []provider.LogLine {
	b.t.Helper()
	var out []provider.LogLine
	if err := b.ReadLogs(b.t.Context(), q, func(l provider.LogLine) error {
		out = append(out, l)
		return nil
	}); err != nil {
		b.t.Fatalf("reading logs: %v", err)
	}
	return out
}

// Text is what the containers of an instance wrote, lines of both streams.
func (b *Bench) Text(id provider.InstanceID) string {
	b.t.Helper()
	var out strings.Builder
	for _, l := range b.Logs(provider.LogQuery{Instance: id}) {
		out.Write(l.Text)
		out.WriteByte('\n')
	}
	return out.String()
}

// Output runs a script to its end in an instance of its own, and returns what
// it wrote and its exit code.
func (b *Bench) Output(s provider.InstanceSpec) (string, int) {
	b.t.Helper()
	b.Up(s)
	code := b.Stopped(s.ID, "main").ExitCode
	return b.settled(s.ID), code
}

// settled is the text of a log once it has stopped growing: its writer may be a
// moment behind the container's end.
func (b *Bench) settled(id provider.InstanceID) string {
	b.t.Helper()
	last, same := "", 0
	b.Wait("the log to settle", func() bool {
		text := b.Text(id)
		if text == last {
			same++
		} else {
			last, same = text, 0
		}
		return same >= 10
	})
	return last
}

// Run executes a script in a running container.
func (b *Bench) Run(id provider.InstanceID, script ...string) (string, int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), Patience)
	defer cancel()
	code, out, err := b.Exec(ctx, id, "main", append([]string{Probe}, script...))
	if err != nil {
		b.t.Fatalf("executing %q: %v", script, err)
	}
	return strings.TrimSuffix(string(out), "\n"), code
}
