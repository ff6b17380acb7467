package oci

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/proto/status"
)

// tarBlock is what a tar archive is made of, in bytes (POSIX.1-1988, ustar).
const tarBlock = 512

// WriteArchive writes an image as an OCI archive: a tar of an OCI image layout
// with this one image, whose tag is name; an empty name is none. Nothing is held
// in memory but manifest and configuration, layers are checked while they are
// copied, and the bytes are the same each time. What was written before an error
// is no archive.
func WriteArchive(ctx context.Context, w io.Writer, img *Image, name string) error {
	files, err := archived(img, name)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := f.write(ctx, tw); err != nil {
			return fmt.Errorf("writing archive: %w", err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("writing archive: %w", err)
	}
	return nil
}

// ArchiveSize is how many bytes [WriteArchive] writes. It opens no layer.
func ArchiveSize(img *Image, name string) (int64, error) {
	files, err := archived(img, name)
	if err != nil {
		return 0, err
	}
	total := int64(2 * tarBlock)
	for _, f := range files {
		total += tarBlock + (f.size()+tarBlock-1)/tarBlock*tarBlock
	}
	return total, nil
}

// archivedFile is one file of an archive: bytes, or a layer.
type archivedFile struct {
	name  string
	data  []byte
	layer *Layer
}

func (f *archivedFile) size() int64 {
	if f.layer != nil {
		return f.layer.Size
	}
	return int64(len(f.data))
}

// write writes the header in GNU's format, whose sizes have no bound that needs a
// second header.
func (f *archivedFile) write(ctx context.Context, tw *tar.Writer) error {
	err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: f.size(), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatGNU})
	if err != nil {
		return err
	}
	if f.layer == nil {
		_, err = tw.Write(f.data)
		return err
	}
	rc, err := f.layer.Open(ctx)
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.Copy(tw, until(ctx, verify(rc, f.layer.Digest, f.layer.Size, "layer "+f.layer.Digest)))
	return err
}

// archived lists the files of an archive, a layer that is there twice once.
func archived(img *Image, name string) ([]archivedFile, error) {
	if name != "" && !tagPattern.MatchString(name) {
		return nil, status.New(status.InvalidArgument, "image.tag", "tag: got %q, want letters, digits, '.', '_' and '-'", clip(name))
	}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	d := ocispec.Descriptor{MediaType: MediaTypeManifest, Digest: digest.Digest(digestOf(manifest)), Size: int64(len(manifest))}
	if img.Platform != (Platform{}) {
		d.Platform = &ocispec.Platform{OS: img.Platform.OS, Architecture: img.Platform.Architecture, Variant: img.Platform.Variant}
	}
	if name != "" {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	}
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: MediaTypeIndex, Manifests: []ocispec.Descriptor{d}})
	if err != nil {
		return nil, fmt.Errorf("encoding index: %w", err)
	}
	files := []archivedFile{
		{name: "oci-layout", data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{name: "index.json", data: index},
		{name: blobName(d.Digest.String()), data: manifest},
		{name: blobName(img.ID()), data: img.Config},
	}
	seen := map[string]bool{}
	for i := range img.Layers {
		l := &img.Layers[i]
		if !digestPattern.MatchString(l.Digest) {
			return nil, status.New(status.InvalidArgument, "image.digest", "layer: digest: got %q, want sha256 and 64 hex digits", clip(l.Digest))
		}
		if !seen[l.Digest] {
			seen[l.Digest] = true
			files = append(files, archivedFile{name: blobName(l.Digest), layer: l})
		}
	}
	return files, nil
}
