package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/manifest"
	"apocryph/p2p/content"
	"apocryph/p2p/oci"
	"apocryph/p2p/seal"
	"apocryph/proto/status"
	"apocryph/provider"

	"github.com/containers/ocicrypt"
	"github.com/containers/ocicrypt/config"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layerCache is a cache of encrypted layers.
type layerCache struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (c *layerCache) Get(key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[key], nil
}

func (c *layerCache) Put(key string, value []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[key] = value
	return nil
}

func (c *layerCache) Sweep(keep func(string, []byte) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, v := range c.all {
		if !keep(k, v) {
			delete(c.all, k)
		}
	}
	return nil
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func plainImage(layers ...[]byte) *oci.Image {
	img := &oci.Image{Source: "upload", Config: []byte(`{"architecture":"amd64","os":"linux"}`), ConfigMediaType: oci.MediaTypeConfig}
	for _, data := range layers {
		img.Layers = append(img.Layers, oci.Layer{
			MediaType: oci.MediaTypeLayer, Digest: digestOf(data), Size: int64(len(data)),
			Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		})
	}
	return img
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// local is a content store without a network.
func local(t *testing.T) (*content.Store, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := content.New(content.Config{Dir: dir})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	return store, dir
}

// decrypted fetches an image as a pod does and opens its layers with the key.
func decrypted(t *testing.T, store *content.Store, img manifest.Image, key []byte) [][]byte {
	t.Helper()
	// Nobody is named who could have it.
	got, err := New(store).Fetch(t.Context(), "pod-1-0", provider.ImageRequest{Image: img}, func(provider.Progress) {})
	must(t, err)
	defer got.Close()
	must(t, got.Wait(t.Context()))
	cc, err := config.DecryptWithPrivKeys([][]byte{key}, [][]byte{nil})
	must(t, err)
	var out [][]byte
	for _, l := range got.Layers {
		f, err := l.Open(t.Context())
		must(t, err)
		r, _, err := ocicrypt.DecryptLayer(cc.DecryptConfig, io.NewSectionReader(f, 0, f.Size()), ocispec.Descriptor{
			MediaType: l.MediaType, Digest: digest.Digest(l.Digest), Size: l.Size, Annotations: l.Annotations,
		}, false)
		must(t, err)
		plain, err := io.ReadAll(r)
		must(t, err)
		out = append(out, plain)
	}
	return out
}

// TestImport: what was imported is there for a pod, without any network, opens
// with the key that was returned, and goes when nobody needs it any more.
func TestImport(t *testing.T) {
	store, dir := local(t)
	cache := &layerCache{all: map[string][]byte{}}
	now := time.Now()
	i, err := NewImporter(ImporterConfig{Store: store, Dir: dir, Cache: cache, Now: func() time.Time { return now }})
	must(t, err)
	plain := [][]byte{bytes.Repeat([]byte("PLAINTEXT "), 300_000), []byte("PLAINTEXT small")}
	img := plainImage(plain...)
	var done, total int64
	first, key, err := i.Import(t.Context(), img, "app-1", func(d, all int64) { done, total = d, all })
	must(t, err)
	if want := img.Layers[0].Size + img.Layers[1].Size; done != want || total != want {
		t.Errorf("reported %d of %d, want %d", done, total, want)
	}
	if first.Ref != "" || first.CID == "" || first.ImageID != img.ID() || len(first.KeyID) != 32 {
		t.Errorf("got %+v", first)
	}
	for n, got := range decrypted(t, store, first, key) {
		if !bytes.Equal(got, plain[n]) {
			t.Errorf("layer %d differs", n)
		}
	}
	second, otherKey, err := i.Import(t.Context(), img, "app-2", nil)
	must(t, err)
	if second.CID == first.CID || bytes.Equal(key, otherKey) || second.ImageID != first.ImageID {
		t.Errorf("two imports: %+v, %+v", first, second)
	}
	if n := files(t, store); n != 2 {
		t.Errorf("%d blobs, want those of the first import", n)
	}
	root, err := cid.Decode(first.CID)
	must(t, err)
	if len(store.Public()) != 0 || store.Grant(root, peer.ID("x")) != nil {
		t.Error("the image is public, or cannot be granted")
	}
	must(t, i.Prune(t.Context()))
	if len(cache.all) != 2 {
		t.Errorf("%d layers remembered", len(cache.all))
	}
	// A layer that went away is encrypted anew.
	for n := range plain {
		d := blobs(t, store)[0]
		must(t, os.Remove(store.BlobPath(d)))
		if n == 0 {
			now = now.Add(2 * time.Hour)
			must(t, i.Prune(t.Context()))
		}
	}
	if len(cache.all) != 1 {
		t.Errorf("%d layers remembered, want what is there or young", len(cache.all))
	}
	third, key, err := i.Import(t.Context(), img, "app-3", nil)
	must(t, err)
	for n, got := range decrypted(t, store, third, key) {
		if !bytes.Equal(got, plain[n]) {
			t.Errorf("layer %d differs", n)
		}
	}
}

// TestImportWhileCollecting: a layer that was found and goes away before it is
// added is encrypted anew.
func TestImportWhileCollecting(t *testing.T) {
	store, dir := local(t)
	i, err := NewImporter(ImporterConfig{Store: store, Dir: dir, Cache: &layerCache{all: map[string][]byte{}}})
	must(t, err)
	img := plainImage([]byte("PLAINTEXT"))
	_, _, err = i.Import(t.Context(), img, "app-1", nil)
	must(t, err)
	found := store.BlobPath(blobs(t, store)[0])
	image, key, err := i.Import(t.Context(), img, "app-2", func(int64, int64) { _ = os.Remove(found) })
	must(t, err)
	if got := decrypted(t, store, image, key); len(got) != 1 || string(got[0]) != "PLAINTEXT" {
		t.Errorf("got %q", got)
	}
}

func blobs(t *testing.T, store *content.Store) (digests []string) {
	t.Helper()
	path := store.BlobPath("sha256:" + strings.Repeat("0", 64))
	all, err := os.ReadDir(strings.TrimSuffix(path, strings.Repeat("0", 64)))
	must(t, err)
	for _, e := range all {
		digests = append(digests, "sha256:"+e.Name())
	}
	return digests
}

func files(t *testing.T, store *content.Store) int { return len(blobs(t, store)) }

func TestImportRefusals(t *testing.T) {
	store, dir := local(t)
	i, err := NewImporter(ImporterConfig{Store: store, Dir: dir})
	must(t, err)
	altered := plainImage([]byte("abc"))
	altered.Layers[0].Digest = digestOf([]byte("abd"))
	encrypted := plainImage([]byte("abc"))
	encrypted.Layers[0].MediaType += oci.EncryptedSuffix
	for name, c := range map[string]struct {
		img   *oci.Image
		owner provider.InstanceID
	}{
		"no owner": {plainImage([]byte("abc")), ""}, "altered": {altered, "app"}, "encrypted": {encrypted, "app"}, "no configuration": {&oci.Image{}, "app"},
	} {
		if _, key, err := i.Import(t.Context(), c.img, c.owner, nil); status.CodeOf(err) != status.InvalidArgument || key != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := i.Import(ctx, plainImage([]byte("abc")), "app", nil); err == nil {
		t.Error("imported after the end")
	}
	if len(store.Owners()) != 0 {
		t.Errorf("pins of %v", store.Owners())
	}
	if _, err := NewImporter(ImporterConfig{Dir: dir}); status.ReasonOf(err) != "import.config" {
		t.Errorf("got %v", err)
	}
	if _, err := NewImporter(ImporterConfig{Store: store}); err == nil {
		t.Error("made without a directory")
	}
}

var _ seal.Cache = (*layerCache)(nil)
