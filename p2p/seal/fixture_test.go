package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"apocryph/manifest"
	"apocryph/p2p/oci"

	"github.com/containers/ocicrypt"
	"github.com/containers/ocicrypt/config"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Cache.
type memory struct {
	mu      sync.Mutex
	entries map[string][]byte
	err     error
}

func newMemory() *memory { return &memory{entries: map[string][]byte{}} }

func (m *memory) Get(key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[key], m.err
}

func (m *memory) Put(key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.entries[key] = value
	return nil
}

func (m *memory) Sweep(keep func(string, []byte) bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.entries {
		if !keep(k, v) {
			delete(m.entries, k)
		}
	}
	return m.err
}

type fixture struct {
	*Sealer
	dir   string
	cache *memory
	now   time.Time
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), cache: newMemory(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s, err := New(Config{Dir: f.dir, Cache: f.cache, Now: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	f.Sealer = s
	return f
}

func layer(mediaType string, data []byte) oci.Layer {
	return oci.Layer{MediaType: mediaType, Digest: digestOf(data), Size: int64(len(data)), Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

func imageOf(layers ...oci.Layer) *oci.Image {
	return &oci.Image{
		Source: "oci:/images/app", Config: []byte(`{"os":"linux"}`), ConfigMediaType: oci.MediaTypeConfig,
		Layers: layers, Annotations: map[string]string{"kept": "yes", encryptionPrefix + "keys.jwe": "stale"},
	}
}

func text(n int, s string) []byte { return bytes.Repeat([]byte(s), n) }

func (f *fixture) seal(t testing.TB, img *oci.Image) *manifest.Sealed {
	t.Helper()
	s, err := f.Seal(t.Context(), img, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func manifestOf(t testing.TB, s *manifest.Sealed) ocispec.Manifest {
	t.Helper()
	var m ocispec.Manifest
	if err := json.Unmarshal(s.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// open decrypts a layer as imgcrypt does: with ocicrypt, given the key and the
// descriptor from the manifest.
func open(t testing.TB, pkcs8 []byte, d ocispec.Descriptor, blob []byte) ([]byte, error) {
	t.Helper()
	cc, err := config.DecryptWithPrivKeys([][]byte{pkcs8}, [][]byte{nil})
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := ocicrypt.DecryptLayer(cc.DecryptConfig, bytes.NewReader(blob), d, false)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func blobOf(t testing.TB, b manifest.Blob) []byte {
	t.Helper()
	data, err := os.ReadFile(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	if digestOf(data) != b.Digest || int64(len(data)) != b.Size {
		t.Errorf("blob %s has digest %s and %d bytes, want %d", b.Digest, digestOf(data), len(data), b.Size)
	}
	return data
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// nothingLeft holds a failed Seal to no files and no entries.
func (f *fixture) nothingLeft(t *testing.T) {
	t.Helper()
	must(t, filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("left behind: %s", path)
		}
		return err
	}))
	if len(f.cache.entries) != 0 {
		t.Errorf("%d cache entries", len(f.cache.entries))
	}
}
