package oci

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/proto/status"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var amd64 = Platform{OS: "linux", Architecture: "amd64"}

// contents is what two images are compared by.
type contents struct {
	ID, ConfigMediaType string
	Platform            Platform
	Types, Digests      []string
	Data                []string
}

func contentsOf(t testing.TB, img *Image) contents {
	t.Helper()
	c := contents{ID: img.ID(), ConfigMediaType: img.ConfigMediaType, Platform: img.Platform}
	for _, l := range img.Layers {
		data := bytesOf(t, l)
		if int64(len(data)) != l.Size {
			t.Errorf("layer %s has %d bytes, says %d", l.Digest, len(data), l.Size)
		}
		c.Types, c.Digests, c.Data = append(c.Types, l.MediaType), append(c.Digests, l.Digest), append(c.Data, string(data))
	}
	return c
}

func read(t testing.TB, ref string, opts Options) (*Image, error) {
	t.Helper()
	r, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	return Read(t.Context(), r, opts)
}

func mustRead(t testing.TB, ref string, opts Options) *Image {
	t.Helper()
	img, err := read(t, ref, opts)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// refused holds an error to its class, and its text and hint to what they must name.
func refused(t *testing.T, err error, code status.Code, names ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	if got := status.CodeOf(err); got != code {
		t.Errorf("code is %v, want %v: %v", got, code, err)
	}
	text := err.Error()
	if e, ok := err.(*status.Error); ok {
		text += " hint: " + e.Hint
	}
	for _, n := range names {
		if !strings.Contains(text, n) {
			t.Errorf("error %q does not name %q", text, n)
		}
	}
}

func TestSourcesGiveTheSameImage(t *testing.T) {
	dir := t.TempDir()
	img := sample(t, amd64, "one", strings.Repeat("two", 100_000), "three")
	want := contentsOf(t, img)
	writeLayout(t, filepath.Join(dir, "layout"), Tagged{"v1", img})
	layoutTar := tarDir(t, filepath.Join(dir, "layout"))
	write(t, filepath.Join(dir, "oci.tar"), layoutTar)
	write(t, filepath.Join(dir, "oci.tar.gz"), gzipOf(t, layoutTar))
	write(t, filepath.Join(dir, "oci.tar.zst"), zstdOf(t, layoutTar))
	saved := dockerSave(t, "app:1", img)
	write(t, filepath.Join(dir, "docker.tar"), saved)
	write(t, filepath.Join(dir, "docker.tgz"), gzipOf(t, saved))
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{
		"oci:layout", "oci:layout:v1", "oci:./layout:v1", "oci:" + filepath.Join(dir, "layout"),
		"oci:layout@" + digestOf(manifest),
		"oci-archive:oci.tar", "oci-archive:oci.tar:v1", "oci-archive:oci.tar.gz", "oci-archive:oci.tar.zst:v1",
		"docker-archive:docker.tar", "docker-archive:docker.tar:app:1", "docker-archive:docker.tar:docker.io/library/app:1", "docker-archive:docker.tgz",
	} {
		t.Run(ref, func(t *testing.T) {
			got := mustRead(t, ref, Options{Dir: dir, Platform: amd64})
			if diff := cmp.Diff(want, contentsOf(t, got)); diff != "" {
				t.Error(diff)
			}
			if got.Source != ref {
				t.Errorf("source is %q", got.Source)
			}
			if !strings.HasPrefix(ref, "docker") && (got.Digest != digestOf(manifest) || got.Annotations["made-by"] != "test <&>") {
				t.Errorf("digest %s, annotations %v", got.Digest, got.Annotations)
			}
		})
	}
}

func TestManifestIsDeterministic(t *testing.T) {
	img := sample(t, amd64, "a", "b")
	for i := range 20 {
		img.Annotations[fmt.Sprint(i)] = "x"
	}
	first, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if again, _ := img.Manifest(); !bytes.Equal(first, again) {
			t.Fatalf("%s\n%s", first, again)
		}
	}
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), []byte("x"))
	for _, c := range []struct {
		ref   string
		code  status.Code
		names []string
	}{
		{"oci:nowhere", status.NotFound, []string{filepath.Join(dir, "nowhere"), "relative to the directory of the manifest"}},
		{"oci-archive:nowhere.tar", status.NotFound, []string{"nowhere.tar", "relative"}},
		{"docker-archive:nowhere.tar", status.NotFound, []string{"nowhere.tar", "relative"}},
		{"oci:file", status.InvalidArgument, []string{"is a file", "oci-archive"}},
		{"oci:" + dir, status.InvalidArgument, []string{"no index.json"}},
		{"docker-archive:" + dir, status.InvalidArgument, []string{"is a directory"}},
		{"oci-archive:file", status.InvalidArgument, []string{"no tar archive"}},
	} {
		t.Run(c.ref, func(t *testing.T) {
			_, err := read(t, c.ref, Options{Dir: dir, Platform: amd64})
			refused(t, err, c.code, c.names...)
		})
	}
}

func TestPlatformIsRequired(t *testing.T) {
	_, err := Read(t.Context(), Reference{Transport: Layout, Path: t.TempDir()}, Options{})
	refused(t, err, status.InvalidArgument, "platform")
	_, err = Read(t.Context(), Reference{Transport: "floppy"}, Options{Platform: amd64})
	refused(t, err, status.InvalidArgument, "floppy")
}
