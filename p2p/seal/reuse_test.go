package seal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"apocryph/p2p/oci"
)

func TestReuse(t *testing.T) {
	f := newFixture(t)
	base, app1, app2 := text(50_000, "base"), text(20_000, "app1"), text(20_000, "app2")
	baseLayer := layer(oci.MediaTypeLayer, base)
	first := f.seal(t, imageOf(baseLayer, layer(oci.MediaTypeLayer, app1)))
	// An unchanged layer is not even opened.
	baseLayer.Open = func(context.Context) (io.ReadCloser, error) { return nil, errors.New("opened") }
	second := f.seal(t, imageOf(baseLayer, layer(oci.MediaTypeLayer, app2)))
	if first.Layers[0] != second.Layers[0] || first.Layers[1] == second.Layers[1] {
		t.Errorf("first %+v, second %+v", first.Layers, second.Layers)
	}
	if second.ReusedBytes != int64(len(base)) {
		t.Errorf("reused %d bytes, want %d", second.ReusedBytes, len(base))
	}
	if bytes.Equal(first.Key, second.Key) || first.Image.KeyID == second.Image.KeyID || first.Image.EncryptedDigest == second.Image.EncryptedDigest {
		t.Error("the revisions share a key or a manifest")
	}
	m1, m2 := manifestOf(t, first), manifestOf(t, second)
	for i, want := range [][]byte{base, app2} {
		blob := blobOf(t, second.Layers[i])
		if got, err := open(t, second.Key, m2.Layers[i], blob); err != nil || !bytes.Equal(got, want) {
			t.Errorf("layer %d: %v", i, err)
		}
		if _, err := open(t, first.Key, m2.Layers[i], blob); err == nil {
			t.Errorf("the old key opens layer %d of the new manifest", i)
		}
		if _, err := open(t, second.Key, m1.Layers[i], blobOf(t, first.Layers[i])); err == nil {
			t.Errorf("the new key opens layer %d of the old manifest", i)
		}
	}
	if n := strings.Count(m2.Layers[0].Annotations[annotationKey], ","); n != 0 {
		t.Errorf("the key is wrapped %d times", n+1)
	}
}

// TestMediaTypeIsPartOfTheCache: the same bytes under another type are another layer.
func TestMediaTypeIsPartOfTheCache(t *testing.T) {
	f := newFixture(t)
	data := text(10, "x")
	f.seal(t, imageOf(layer(oci.MediaTypeLayer, data)))
	if s := f.seal(t, imageOf(layer(oci.MediaTypeLayerGzip, data))); s.ReusedBytes != 0 {
		t.Error("reused")
	}
}

func TestSameLayerTwice(t *testing.T) {
	f := newFixture(t)
	opened := 0
	l := layer(oci.MediaTypeLayer, text(100, "x"))
	inner := l.Open
	l.Open = func(ctx context.Context) (io.ReadCloser, error) { opened++; return inner(ctx) }
	s := f.seal(t, imageOf(l, l, l))
	if opened != 1 || s.Layers[0] != s.Layers[2] || len(s.Layers) != 3 {
		t.Errorf("opened %d times, layers %+v", opened, s.Layers)
	}
}

func TestReuseMisses(t *testing.T) {
	data := text(5000, "plain")
	img := imageOf(layer(oci.MediaTypeLayer, data))
	for name, damage := range map[string]func(t *testing.T, f *fixture, path string){
		"blob gone": func(t *testing.T, _ *fixture, path string) { must(t, os.Remove(path)) },
		"blob cut, same time": func(t *testing.T, _ *fixture, path string) {
			info, err := os.Stat(path)
			must(t, err)
			must(t, os.Truncate(path, 10))
			must(t, os.Chtimes(path, time.Time{}, info.ModTime()))
		},
		"byte flipped": func(t *testing.T, _ *fixture, path string) {
			blob, err := os.ReadFile(path)
			must(t, err)
			blob[100] ^= 1
			must(t, os.WriteFile(path, blob, 0o600))
			must(t, os.Chtimes(path, time.Time{}, time.Unix(1, 0)))
		},
		"entry garbage": func(_ *testing.T, f *fixture, _ string) { f.corrupt(func([]byte) []byte { return []byte("{") }) },
		"entry empty":   func(_ *testing.T, f *fixture, _ string) { f.corrupt(func([]byte) []byte { return []byte("{}") }) },
		"entry newer": func(_ *testing.T, f *fixture, _ string) {
			f.corrupt(func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1`), []byte(`"version":2`), 1) })
		},
		"entry elsewhere": func(_ *testing.T, f *fixture, _ string) {
			f.corrupt(func(b []byte) []byte { return bytes.Replace(b, []byte(`"sha256:`), []byte(`"sha256:../`), 1) })
		},
		"cache broken": func(_ *testing.T, f *fixture, _ string) { f.cfg.Cache = failing{f.cache} },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			first := f.seal(t, img)
			damage(t, f, first.Layers[0].Path)
			second := f.seal(t, img)
			if second.ReusedBytes != 0 {
				t.Error("reused")
			}
			if got, err := open(t, second.Key, manifestOf(t, second).Layers[0], blobOf(t, second.Layers[0])); err != nil || !bytes.Equal(got, data) {
				t.Errorf("does not open: %v", err)
			}
		})
	}
}

// failing is a cache that cannot be read.
type failing struct{ *memory }

func (failing) Get(string) ([]byte, error) { return nil, errors.New("key file lost") }

func (f *fixture) corrupt(change func([]byte) []byte) {
	for k, v := range f.cache.entries {
		f.cache.entries[k] = change(bytes.Clone(v))
	}
}

func TestTouchedBlobIsReadAgain(t *testing.T) {
	f := newFixture(t)
	img := imageOf(layer(oci.MediaTypeLayer, text(100, "x")))
	first := f.seal(t, img)
	must(t, os.Chtimes(first.Layers[0].Path, time.Time{}, time.Unix(1, 0)))
	if second := f.seal(t, img); second.ReusedBytes == 0 {
		t.Error("an intact blob was not reused")
	}
}
