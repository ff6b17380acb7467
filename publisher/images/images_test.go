package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/publisher"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// writeImage writes a layout with one image below dir.
func writeImage(t *testing.T, dir string, layer []byte) *oci.Image {
	t.Helper()
	img := &oci.Image{
		Config:      fmt.Appendf(nil, `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]}}`, digestOf(layer)),
		Annotations: map[string]string{"a": "b"},
		Layers: []oci.Layer{{MediaType: oci.MediaTypeLayer, Digest: digestOf(layer), Size: int64(len(layer)), Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(layer)), nil
		}}},
	}
	if err := oci.WriteLayout(t.Context(), dir, oci.Tagged{Tag: "v1", Image: img}); err != nil {
		t.Fatal(err)
	}
	return img
}

func TestResolveFile(t *testing.T) {
	dir := t.TempDir()
	layer := []byte("layer bytes")
	want := writeImage(t, filepath.Join(dir, "app"), layer)
	r := New(Config{})
	defer r.Close()
	got, err := r.Resolve(t.Context(), "oci:app:v1", dir, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if got.Source != "oci:app:v1" || !bytes.Equal(got.Config, want.Config) || got.ConfigMediaType != oci.MediaTypeConfig || got.Annotations["a"] != "b" || len(got.Layers) != 1 {
		t.Fatalf("got %+v", got)
	}
	l := got.Layers[0]
	if l.MediaType != oci.MediaTypeLayer || l.Digest != digestOf(layer) || l.Size != int64(len(layer)) {
		t.Errorf("layer is %+v", l)
	}
	rc, err := l.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if data, err := io.ReadAll(rc); err != nil || !bytes.Equal(data, layer) {
		t.Errorf("read %q, %v", data, err)
	}
	// Sealing relies on it: bytes that are checked here are not hashed twice.
	if v, ok := rc.(interface{ Verifies() string }); !ok || v.Verifies() != l.Digest {
		t.Error("the layer's reader does not say what it verifies")
	}
}

type fetcher struct {
	asked []string
	img   *publisher.Image
	err   error
}

func (f *fetcher) Fetch(_ context.Context, cid string) (*publisher.Image, error) {
	f.asked = append(f.asked, cid)
	return f.img, f.err
}

const cid = "bafybeifqi3ldg5yclcz33zahr37aieo4epzbhhjxjpwoqyau2mzdxakqhq"

func TestResolveIPFS(t *testing.T) {
	f := &fetcher{img: &publisher.Image{Config: []byte("c"), Source: "theirs"}}
	r := New(Config{Fetcher: f})
	defer r.Close()
	for _, ref := range []string{"ipfs:" + cid, "ipfs://" + cid} {
		got, err := r.Resolve(t.Context(), ref, "", "linux/amd64")
		if err != nil || got.Source != ref || string(got.Config) != "c" {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}
	if diff := cmp.Diff([]string{cid, cid}, f.asked); diff != "" {
		t.Error(diff)
	}
	if f.img.Source != "theirs" {
		t.Error("the fetcher's image was changed")
	}
	f.img, f.err = nil, status.New(status.Unavailable, "x", "nobody has it")
	if _, err := r.Resolve(t.Context(), "ipfs:"+cid, "", "linux/amd64"); status.CodeOf(err) != status.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestRefused(t *testing.T) {
	f := &fetcher{}
	with, without := New(Config{Fetcher: f}), New(Config{})
	defer with.Close()
	defer without.Close()
	for _, c := range []struct {
		r                   *Resolver
		ref, platform, name string
		code                status.Code
	}{
		{without, "ipfs:" + cid, "linux/amd64", "no IPFS node", status.Unimplemented},
		{with, "ipfs:", "linux/amd64", "a CID", status.InvalidArgument},
		{with, "ipfs:../x", "linux/amd64", "a CID", status.InvalidArgument},
		{with, "ipfs:" + strings.Repeat("b", maxCID+1), "linux/amd64", "a CID", status.InvalidArgument},
		{with, "oci:x", "linux", "platform", status.InvalidArgument},
		{with, "oci:x", "", "platform", status.InvalidArgument},
		{with, "", "linux/amd64", "image", status.InvalidArgument},
		{with, "docker://nginx", "linux/amd64", "docker://nginx", status.InvalidArgument},
		{with, "oci:nowhere", "linux/amd64", "nowhere", status.NotFound},
	} {
		_, err := c.r.Resolve(t.Context(), c.ref, t.TempDir(), c.platform)
		if status.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.name) {
			t.Errorf("%.40q for %q: %v", c.ref, c.platform, err)
		}
	}
	if len(f.asked) != 0 {
		t.Errorf("the fetcher was asked for %v", f.asked)
	}
}
