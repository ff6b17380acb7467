package mesh

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/opencontainers/go-digest"

	"apocryph/p2p/oci"
	"apocryph/provider/runtimetest"
)

// image writes an OCI image layout with a layer of random bytes, and returns
// its reference. The runtime in memory executes the image's command as a script.
func image(t *testing.T, size int) string {
	t.Helper()
	data := make([]byte, size)
	_, err := rand.Read(data)
	must(t, err)
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	must(t, w.WriteHeader(&tar.Header{Name: "data", Mode: 0o644, Size: int64(size)}))
	_, err = w.Write(data)
	must(t, err)
	must(t, w.Close())
	z, err := gzip.NewWriterLevel(&packed, gzip.NoCompression)
	must(t, err)
	_, err = z.Write(plain.Bytes())
	must(t, err)
	must(t, z.Close())

	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config:   ocispec.ImageConfig{Entrypoint: []string{runtimetest.Probe}, Cmd: []string{"echo", "ready", ";", "sleep"}},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(plain.Bytes())}},
	})
	must(t, err)
	dir := t.TempDir()
	must(t, oci.WriteLayout(t.Context(), dir, oci.Tagged{Tag: "latest", Image: &oci.Image{
		Config: config, ConfigMediaType: ocispec.MediaTypeImageConfig,
		Layers: []oci.Layer{{
			MediaType: ocispec.MediaTypeImageLayerGzip, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(packed.Bytes())), Size: int64(packed.Len()),
			Open: func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(packed.Bytes())), nil
			},
		}},
	}}))
	return "oci:" + dir
}
