package seal

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"apocryph/p2p/oci"
)

// noise is n bytes that are the same for the same seed.
func noise(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

func noiseLayer(t testing.TB, seed byte, n int64) oci.Layer {
	t.Helper()
	sum := sha256.New()
	if _, err := io.Copy(sum, noise(seed, n)); err != nil {
		t.Fatal(err)
	}
	return oci.Layer{
		MediaType: oci.MediaTypeLayer, Digest: fmt.Sprintf("sha256:%x", sum.Sum(nil)), Size: n,
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(noise(seed, n)), nil },
	}
}

// TestMemoryIsBounded seals a layer of 256 MiB and counts all that was ever allocated.
func TestMemoryIsBounded(t *testing.T) {
	const most = 16 << 20
	f := newFixture(t)
	img := imageOf(noiseLayer(t, 1, 256<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f.seal(t, img)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > most {
		t.Errorf("allocated %d bytes, want at most %d", got, most)
	}
}

// BenchmarkSeal is to be read beside BenchmarkCopy: both read the same file,
// check its digest and write as many bytes, synced.
func BenchmarkSeal(b *testing.B) {
	for _, layers := range []int{1, 2} {
		b.Run(fmt.Sprintf("layers=%d", layers), func(b *testing.B) {
			img, total := benchImage(b, layers)
			b.SetBytes(total)
			for b.Loop() {
				f := newFixture(b)
				f.seal(b, img)
			}
		})
	}
}

func BenchmarkReuse(b *testing.B) {
	img, total := benchImage(b, 2)
	f := newFixture(b)
	f.seal(b, img)
	b.SetBytes(total)
	for b.Loop() {
		f.seal(b, img)
	}
}

func BenchmarkCopy(b *testing.B) {
	img, total := benchImage(b, 1)
	b.SetBytes(total)
	for b.Loop() {
		rc, err := img.Layers[0].Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		f, err := os.Create(filepath.Join(b.TempDir(), "copy"))
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, sum)}, rc, make([]byte, chunk)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		rc.Close()
		f.Close()
	}
}

func benchImage(b *testing.B, layers int) (*oci.Image, int64) {
	b.Helper()
	const size = 128 << 20
	dir := b.TempDir()
	var all []oci.Layer
	for i := range layers {
		path := filepath.Join(dir, fmt.Sprint(i))
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(f, noise(byte(i), size)); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
		l := noiseLayer(b, byte(i), size)
		l.Open = func(context.Context) (io.ReadCloser, error) { return os.Open(path) }
		all = append(all, l)
	}
	return imageOf(all...), int64(layers) * size
}
