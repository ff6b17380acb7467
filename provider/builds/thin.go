package builds

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"apocryph/p2p/oci"
)

// writeCompressed is writeThin, compressed. The encoder is small and takes one
// goroutine, for builds run beside each other: its window is 4 MiB, whatever the image.
func writeCompressed(ctx context.Context, w io.Writer, img *oci.Image, layers []oci.Layer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return fmt.Errorf("compressing the image: %w", err)
	}
	return errors.Join(writeThin(ctx, z, img, layers), z.Close())
}

// writeThin writes a tar of an OCI image layout (image-spec 1.1, image-layout) of an
// image with some of its layers: the manifest names the others, which are the base
// image's. The bytes are the same each time.
func writeThin(ctx context.Context, w io.Writer, img *oci.Image, layers []oci.Layer) error {
	man, err := img.Manifest()
	if err != nil {
		return err
	}
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": oci.MediaTypeIndex,
		"manifests": []any{map[string]any{"mediaType": oci.MediaTypeManifest, "digest": digestOf(man), "size": len(man)}},
	})
	if err != nil {
		return fmt.Errorf("encoding index: %w", err)
	}
	tw := tar.NewWriter(w)
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", index},
		{blob(digestOf(man)), man},
		{blob(img.ID()), img.Config},
	} {
		if err := header(tw, f.name, int64(len(f.data))); err != nil {
			return err
		}
		if _, err := tw.Write(f.data); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, l := range layers {
		if seen[l.Digest] {
			continue
		}
		seen[l.Digest] = true
		if err := header(tw, blob(l.Digest), l.Size); err != nil {
			return err
		}
		if err := copyLayer(ctx, tw, l); err != nil {
			return err
		}
	}
	return tw.Close()
}

func blob(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func header(tw *tar.Writer, name string, size int64) error {
	return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatGNU})
}

func copyLayer(ctx context.Context, w io.Writer, l oci.Layer) error {
	rc, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.Copy(w, rc)
	return err
}
