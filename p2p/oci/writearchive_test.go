package oci

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

// TestWriteArchive reads back what is written, and knows its size before.
func TestWriteArchive(t *testing.T) {
	for name, img := range map[string]*Image{
		"two layers": sample(t, amd64, "one", "two"), "the same layer twice": sample(t, amd64, "same", "same"), "no layer": sample(t, amd64),
	} {
		t.Run(name, func(t *testing.T) {
			var a, b bytes.Buffer
			if err := errors.Join(WriteArchive(t.Context(), &a, img, "v1"), WriteArchive(t.Context(), &b, img, "v1")); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Error("two archives of one image differ")
			}
			if size, err := ArchiveSize(img, "v1"); err != nil || size != int64(a.Len()) {
				t.Errorf("ArchiveSize = %d, %v, and %d bytes were written", size, err, a.Len())
			}
			got, err := ReadArchive(t.Context(), bytes.NewReader(a.Bytes()), int64(a.Len()), "upload", amd64)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(contentsOf(t, img), contentsOf(t, got)); diff != "" {
				t.Error(diff)
			}
			dir := t.TempDir()
			write(t, dir+"/a.tar", a.Bytes())
			mustRead(t, "oci-archive:a.tar:v1", Options{Dir: dir, Platform: amd64})
			if _, err := read(t, "oci-archive:a.tar:v2", Options{Dir: dir, Platform: amd64}); status.CodeOf(err) != status.NotFound {
				t.Errorf("another tag: %v", err)
			}
		})
	}
}

func TestWriteArchiveRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*Image)
		tag   string
		want  string
	}{
		"a tag of two words": {nil, "a b", "tag: got"},
		"no digest":          {func(i *Image) { i.Layers[0].Digest = "../../etc/passwd" }, "", "digest: got"},
		"another layer":      {func(i *Image) { i.Layers[0] = swapped(i.Layers[0]) }, "", "layer"},
	} {
		t.Run(name, func(t *testing.T) {
			img := sample(t, amd64, "one", "two")
			if tt.spoil != nil {
				tt.spoil(img)
			}
			refused(t, WriteArchive(t.Context(), io.Discard, img, tt.tag), status.InvalidArgument, tt.want)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WriteArchive(ctx, io.Discard, sample(t, amd64, "one"), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	broken := errors.New("the disk is full")
	if err := WriteArchive(t.Context(), writerFunc(func([]byte) (int, error) { return 0, broken }), sample(t, amd64, "one"), ""); !errors.Is(err, broken) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// swapped is a layer whose bytes are not those of its digest.
func swapped(l Layer) Layer {
	l.Open = func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(make([]byte, l.Size))), nil
	}
	return l
}
