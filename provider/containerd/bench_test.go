package containerd

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/manifest"
	"apocryph/provider"
	"apocryph/provider/containerd/attendant"
	"apocryph/provider/runtimetest"
)

// BenchmarkInstance measures a warm instance: from Create to the container's
// first line, and what its helpers take of memory.
func BenchmarkInstance(b *testing.B) {
	img, key := runtimetest.Build(b, runtimetest.Image{Config: ocispec.ImageConfig{Entrypoint: []string{runtimetest.Probe}}})
	spec := func(i int) provider.InstanceSpec {
		c := manifest.Container{
			Name: "main", Args: []string{"echo", "up", ";", "sleep"},
			Resources: manifest.Resources{CPUMillis: 1000, MemoryBytes: 64 << 20, PIDs: 64},
		}
		return provider.InstanceSpec{
			ID: provider.InstanceID(fmt.Sprintf("bench-1-%d", i)), Pod: "bench", Publisher: "bench", Name: "web", Class: runtimeClass,
			Containers: []provider.ContainerSpec{{Container: c, Image: img, Key: key}},
		}
	}
	// One instance keeps the layers.
	keep := spec(0)
	if _, err := shared.Create(b.Context(), keep, nil); err != nil {
		b.Fatal(err)
	}
	var create, start, remove time.Duration
	n := 0
	for b.Loop() {
		n++
		s := spec(n)
		t := time.Now()
		if _, err := shared.Create(b.Context(), s, nil); err != nil {
			b.Fatal(err)
		}
		create += time.Since(t)
		t = time.Now()
		if err := shared.Start(b.Context(), s.ID); err != nil {
			b.Fatal(err)
		}
		log := shared.dirs.logFile(s.ID, "main")
		for {
			if data, err := os.ReadFile(log); err == nil && bytes.Contains(data, []byte("up")) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		start += time.Since(t)
		if n == 1 {
			for name, kib := range helperMemory(b) {
				b.Logf("%s: %d KiB", name, kib)
			}
		}
		t = time.Now()
		if err := shared.Remove(b.Context(), s.ID, 0); err != nil {
			b.Fatal(err)
		}
		remove += time.Since(t)
	}
	for name, d := range map[string]time.Duration{"create": create, "start": start, "remove": remove} {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(n), name+"-ms")
	}
	if err := shared.Remove(b.Context(), keep.ID, 0); err != nil {
		b.Fatal(err)
	}
}

// helperMemory is the memory of this process and of the helpers of containers.
func helperMemory(b *testing.B) map[string]int {
	b.Helper()
	out := map[string]int{}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range procs {
		data, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		argv0, _, _ := strings.Cut(string(data), "\x00")
		name := filepath.Base(argv0)
		if name != attendant.LoggerName && !strings.Contains(string(data), "-namespace\x00p-") && filepath.Dir(p) != fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		f, err := os.Open(filepath.Join(filepath.Dir(p), "smaps_rollup"))
		if err != nil {
			continue
		}
		for l := bufio.NewScanner(f); l.Scan(); {
			var kib int
			for _, key := range []string{"Rss:", "Pss:", "Private_Dirty:"} {
				if _, err := fmt.Sscanf(l.Text(), key+" %d kB", &kib); err == nil {
					out[name+" "+key] = kib
				}
			}
		}
		f.Close()
	}
	return out
}
