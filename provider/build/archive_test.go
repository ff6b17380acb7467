package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// packed is a tar archive of names and contents, in order.
func packed(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		must(t, tw.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}))
		_, err := io.WriteString(tw, files[i+1])
		must(t, err)
	}
	must(t, tw.Close())
	return b.Bytes()
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(data)
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

func hexOf(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }

const layerText = "a layer's bytes"

func configText(user string) string {
	return fmt.Sprintf(`{"os":"linux","architecture":"amd64","config":{"User":%q,"Entrypoint":["/x"],"ExposedPorts":{"8000/tcp":{},"53/udp":{}}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}`, user, hexOf(layerText))
}

func docker(t testing.TB, user string) []byte {
	c := configText(user)
	return packed(t, "manifest.json", fmt.Sprintf(`[{"Config":"%s.json","RepoTags":["a:1"],"Layers":["l/layer.tar"]}]`, hexOf(c)), hexOf(c)+".json", c, "l/layer.tar", layerText)
}

func ociArchive(t testing.TB, layerType string) []byte {
	c := configText("1000")
	m := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":"sha256:%s","size":%d},"layers":[{"mediaType":%q,"digest":"sha256:%s","size":%d}]}`,
		oci.MediaTypeManifest, oci.MediaTypeConfig, hexOf(c), len(c), layerType, hexOf(layerText), len(layerText))
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":"sha256:%s","size":%d}]}`, oci.MediaTypeManifest, hexOf(m), len(m))
	return packed(t, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`, "index.json", index,
		"blobs/sha256/"+hexOf(c), c, "blobs/sha256/"+hexOf(m), m, "blobs/sha256/"+hexOf(layerText), layerText)
}

func TestImage(t *testing.T) {
	b := newBuilder(t)
	for name, tt := range map[string]struct {
		archive  []byte
		user     string
		warnings []string
	}{
		"docker":        {docker(t, "app"), "app", nil},
		"docker, gzip":  {zipped(t, docker(t, "app")), "app", nil},
		"docker, root":  {docker(t, ""), "", []string{"the image runs as root"}},
		"docker, zero":  {docker(t, "0:5"), "0:5", []string{"the image runs as root"}},
		"oci":           {ociArchive(t, oci.MediaTypeLayer), "1000", nil},
		"oci, gzip":     {zipped(t, ociArchive(t, oci.MediaTypeLayer)), "1000", nil},
		"in an archive": {append(ociArchive(t, oci.MediaTypeLayer), "trailing"...), "1000", nil},
	} {
		t.Run(name, func(t *testing.T) {
			res := build(t, b, Request{Runtime: Image, Archive: bytes.NewReader(tt.archive), ArchiveSize: int64(len(tt.archive)), Platform: amd64})
			if res.User != tt.user || res.Port != 8000 || !cmp.Equal(res.Warnings, tt.warnings) {
				t.Errorf("%+v", res)
			}
			for range 2 {
				rc, err := res.Image.Layers[0].Open(t.Context())
				must(t, err)
				got, err := io.ReadAll(rc)
				if err != nil || string(got) != layerText {
					t.Errorf("got %q, %v", got, err)
				}
				must(t, rc.Close())
			}
		})
	}
}

func TestImageRefusals(t *testing.T) {
	b := newBuilder(t)
	cut := docker(t, "app")
	for name, tt := range map[string]struct {
		archive []byte
		want    string
	}{
		"other tar":   {packed(t, "app/main", "x"), "it has neither index.json nor manifest.json"},
		"encrypted":   {ociArchive(t, oci.MediaTypeLayer+oci.EncryptedSuffix), "got an encrypted layer"},
		"layer type":  {ociArchive(t, "text/html"), "media type"},
		"cut":         {cut[:1100], "truncated"},
		"no json":     {packed(t, "manifest.json", "{"), "is not valid"},
		"no config":   {packed(t, "manifest.json", `[{"Config":"../../etc/passwd","Layers":[]}]`), "is missing"},
		"altered":     {bytes.Replace(ociArchive(t, oci.MediaTypeLayer), []byte(`"Entrypoint":["/x"]`), []byte(`"Entrypoint":["/y"]`), 1), "altered"},
		"layout only": {packed(t, "oci-layout", "{}", "index.json", `{"schemaVersion":2,"manifests":[]}`), "linux/amd64"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Build(t.Context(), Request{Runtime: Image, Archive: bytes.NewReader(tt.archive), ArchiveSize: int64(len(tt.archive)), Platform: amd64})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if left, _ := os.ReadDir(filepath.Join(b.cfg.Dir)); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(docker(f, "app"))
	f.Add(ociArchive(f, oci.MediaTypeLayer))
	f.Add(zipped(f, docker(f, "")))
	f.Add(packed(f, "manifest.json", "[]"))
	b := newBuilder(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		res, err := b.Build(t.Context(), Request{Runtime: Image, Archive: bytes.NewReader(data), ArchiveSize: int64(len(data)), Platform: amd64})
		if err != nil {
			if code := status.CodeOf(err); code != status.InvalidArgument && code != status.NotFound {
				t.Errorf("got %v", err)
			}
			return
		}
		must(t, res.Close())
	})
}
