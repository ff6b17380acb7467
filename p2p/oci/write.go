package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"apocryph/proto/status"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Tagged is an image of a layout; an empty tag is none.
type Tagged struct {
	Tag   string
	Image *Image
}

// Manifest returns the bytes of an OCI manifest for the image. They are the
// same each time: fields in the order of the specification, annotations sorted.
func (i *Image) Manifest() ([]byte, error) {
	m := ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   MediaTypeManifest,
		Config:      ocispec.Descriptor{MediaType: MediaTypeConfig, Digest: digest.Digest(i.ID()), Size: int64(len(i.Config))},
		Layers:      []ocispec.Descriptor{},
		Annotations: i.Annotations,
	}
	for _, l := range i.Layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: l.MediaType, Digest: digest.Digest(l.Digest), Size: l.Size, Annotations: l.Annotations})
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding manifest: %w", err)
	}
	if len(data) > MaxManifest {
		return nil, status.New(status.InvalidArgument, "image.size", "the manifest has %d bytes, want at most %d", len(data), MaxManifest)
	}
	return data, nil
}

// WriteLayout writes images as an OCI image layout to dir, which is created.
// What is there is overwritten file by file; index.json comes last. Layers are
// checked while they are copied.
func WriteLayout(ctx context.Context, dir string, images ...Tagged) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return fmt.Errorf("creating layout: %w", err)
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: MediaTypeIndex, Manifests: []ocispec.Descriptor{}}
	for _, t := range images {
		d, err := writeImage(ctx, dir, t.Image)
		if err != nil {
			return err
		}
		if t.Tag != "" {
			d.Annotations = map[string]string{ocispec.AnnotationRefName: t.Tag}
		}
		index.Manifests = append(index.Manifests, d)
	}
	if err := writeFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	data, err := json.Marshal(index)
	if err != nil {
		return fmt.Errorf("encoding index: %w", err)
	}
	return writeFile(filepath.Join(dir, "index.json"), data)
}

func writeImage(ctx context.Context, dir string, img *Image) (ocispec.Descriptor, error) {
	for _, l := range img.Layers {
		if !digestPattern.MatchString(l.Digest) {
			return ocispec.Descriptor{}, status.New(status.InvalidArgument, "image.digest", "layer: digest: got %q, want sha256 and 64 hex digits", clip(l.Digest))
		}
		to := filepath.Join(dir, blobName(l.Digest))
		if err := writeLayer(ctx, to, l); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	if err := writeFile(filepath.Join(dir, blobName(img.ID())), img.Config); err != nil {
		return ocispec.Descriptor{}, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: MediaTypeManifest, Digest: digest.Digest(digestOf(manifest)), Size: int64(len(manifest))}
	if img.Platform != (Platform{}) {
		d.Platform = &ocispec.Platform{OS: img.Platform.OS, Architecture: img.Platform.Architecture, Variant: img.Platform.Variant}
	}
	return d, writeFile(filepath.Join(dir, blobName(d.Digest.String())), manifest)
}

func writeLayer(ctx context.Context, to string, l Layer) error {
	rc, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer rc.Close()
	return replace(to, func(f *os.File) error {
		_, err := io.Copy(f, until(ctx, verify(rc, l.Digest, l.Size, "layer "+l.Digest)))
		return err
	})
}

func writeFile(to string, data []byte) error {
	return replace(to, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// replace writes a file so that after a crash it is whole or not there.
func replace(to string, write func(*os.File) error) error {
	dir := filepath.Dir(to)
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := write(f); err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	if err := f.Chmod(0o644); err != nil && runtime.GOOS != "windows" {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	return syncDir(dir)
}

// syncDir makes a rename durable; Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
