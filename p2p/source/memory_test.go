package source_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"apocryph/p2p/source"
)

// heapWatch samples the live and not yet collected bytes of the heap at every read.
type heapWatch struct {
	r      io.Reader
	sample []metrics.Sample
	start  uint64
	peak   uint64
}

func watch(r io.Reader) *heapWatch {
	w := &heapWatch{r: r, sample: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}}
	debug.FreeOSMemory()
	w.look()
	w.start, w.peak = w.peak, 0
	return w
}

func (w *heapWatch) look() {
	metrics.Read(w.sample)
	w.peak = max(w.peak, w.sample[0].Value.Uint64())
}

func (w *heapWatch) Read(b []byte) (int, error) {
	w.look()
	return w.r.Read(b[:min(len(b), 16<<10)])
}

// TestMemory: what a part needs does not grow with it.
func TestMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	const n = 6_000
	many := func(w *tar.Writer) error {
		for i := range n {
			h := &tar.Header{Name: fmt.Sprintf("%s/%s%06d", strings.Repeat("d", 200), strings.Repeat("n", 240), i), Typeflag: tar.TypeReg}
			if err := w.WriteHeader(h); err != nil {
				return err
			}
		}
		return w.Close()
	}
	stream := func(write func(*tar.Writer) error) io.Reader {
		r, w := io.Pipe()
		go func() { w.CloseWithError(write(tar.NewWriter(w))) }()
		return r
	}
	large := zst(t, makeTar(t, file("a", noise(24<<20))), zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	zipped := makeZip(t, func() (all []entry) {
		for i := range n {
			all = append(all, file(fmt.Sprintf("%s%06d", strings.Repeat("n", 240), i), ""))
		}
		return all
	}()...)
	tests := []struct {
		name string
		r    io.Reader
		// most is the growth allowed, in MiB.
		most uint64
	}{
		{"tar of many long names", stream(many), 8},
		{"zip of many long names", bytes.NewReader(zipped), 8},
		{"one file", bytes.NewReader(make([]byte, 64<<20)), 8},
		{"zstd of the widest window", bytes.NewReader(large), 8 + 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree, _ := newTree(t, source.DefaultLimits())
			w := watch(tt.r)
			if _, err := tree.Add(t.Context(), "x", w); err != nil {
				t.Fatal(err)
			}
			w.look()
			if _, err := tree.Digest(); err != nil {
				t.Fatal(err)
			}
			w.look()
			grown := (w.peak - min(w.start, w.peak)) >> 20
			t.Logf("the heap grew by %d MiB", grown)
			if grown > tt.most {
				t.Errorf("the heap grew by %d MiB, want at most %d", grown, tt.most)
			}
		})
	}
}

// BenchmarkAdd is bytes of contents per second.
func BenchmarkAdd(b *testing.B) {
	plain := makeTar(b, file("a", noise(8<<20)))
	small := makeTar(b, func() (all []entry) {
		for i := range 1000 {
			all = append(all, file(fmt.Sprintf("d%d/f%d", i/50, i), noise(2000)))
		}
		return all
	}()...)
	for _, c := range []struct {
		name string
		data []byte
	}{{"tar", plain}, {"tar.gz", gz(b, plain)}, {"tar.zst", zst(b, plain)}, {"zip", makeZip(b, file("a", noise(8<<20)))}, {"file", plain[512 : 8<<20]}, {"small", small}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tree, err := source.NewTree(b.TempDir(), source.DefaultLimits())
				if err != nil {
					b.Fatal(err)
				}
				if _, err := tree.Add(b.Context(), "x", bytes.NewReader(c.data)); err != nil {
					b.Fatal(err)
				}
				n, _ := tree.Size()
				b.SetBytes(n)
				if err := tree.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
