package oci

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"apocryph/proto/status"
)

// TestLayoutFS: the files of an image are the layout that is written of it.
func TestLayoutFS(t *testing.T) {
	img := sample(t, amd64, "one", "two", "one")
	tree, err := LayoutFS(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(tree, "oci-layout", "index.json", blobName(img.ID()), blobName(img.Layers[1].Digest)); err != nil {
		t.Error(err)
	}
	dir := filepath.Join(t.TempDir(), "copied")
	if err := os.CopyFS(dir, tree); err != nil {
		t.Fatal(err)
	}
	got := mustRead(t, "oci:"+dir, Options{Platform: amd64})
	if got.ID() != img.ID() || len(got.Layers) != 3 {
		t.Errorf("got %v", got)
	}
	if files, _ := fs.Glob(tree, "blobs/sha256/*"); len(files) != 5 {
		t.Errorf("got %q", files)
	}
}

func TestLayoutFSIsChecked(t *testing.T) {
	for name, change := range map[string]func(l *Layer){
		"another": func(l *Layer) { l.Open = layerOf(MediaTypeLayer, make([]byte, l.Size)).Open },
		"short":   func(l *Layer) { l.Open = layerOf(MediaTypeLayer, nil).Open },
		"absent": func(l *Layer) {
			l.Open = func(context.Context) (io.ReadCloser, error) {
				return nil, status.New(status.NotFound, "image.blob", "none")
			}
		},
	} {
		img := sample(t, amd64, "one")
		change(&img.Layers[0])
		tree, err := LayoutFS(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(t.TempDir(), tree); err == nil || !strings.HasPrefix(status.ReasonOf(err), "image.") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	img := sample(t, amd64, "one")
	img.Layers[0].Digest = "sha256:../../x"
	if _, err := LayoutFS(t.Context(), img); status.ReasonOf(err) != "image.digest" {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tree, err := LayoutFS(ctx, sample(t, amd64, "one"))
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(t.TempDir(), tree); err == nil {
		t.Error("a layer is read after its time")
	}
}
