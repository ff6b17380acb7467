package oci

import (
	"context"
	"io"

	"apocryph/proto/status"
)

// archiveFile is an archive that is being read.
type archiveFile interface {
	io.ReadSeeker
	io.ReaderAt
	io.Closer
}

// opener opens an archive anew; readers do not share positions.
type opener func() (archiveFile, error)

// section is a part of a file that its owner closes.
type section struct{ *io.SectionReader }

func (section) Close() error { return nil }

// ReadArchive finds the image for a platform in size bytes of r, which are an
// OCI archive or a docker archive, perhaps compressed with gzip or zstd: what it
// is, is told by its content. It must have one image for the platform. Error
// texts call it name. The layers are read from r when they are opened. The
// errors are those of [Read].
func ReadArchive(ctx context.Context, r io.ReaderAt, size int64, name string, platform Platform) (*Image, error) {
	if platform.OS == "" || platform.Architecture == "" {
		return nil, status.New(status.InvalidArgument, "image.platform", "platform: got nothing, want one such as linux/amd64")
	}
	platform = platform.normal()
	t, err := openTarOf(ctx, name, func() (archiveFile, error) { return section{io.NewSectionReader(r, 0, size)}, nil })
	if err != nil {
		return nil, err
	}
	var img *Image
	switch {
	case t.has("oci-layout") && t.has("index.json"):
		img, err = readLayout(ctx, t, name, Reference{Transport: Archive, Path: name}, platform)
	case t.has("manifest.json"):
		img, err = readSaved(ctx, t, name, Reference{Transport: DockerArchive, Path: name}, platform)
	default:
		return nil, status.New(status.InvalidArgument, "image.archive", "%s is no image: it has neither index.json nor manifest.json", name).
			WithHint("docker save, podman save and skopeo copy write archives that can be used")
	}
	if err != nil {
		return nil, err
	}
	img.Source = name
	return img, nil
}

func (t *tarFiles) has(name string) bool {
	_, err := t.find(name)
	return err == nil
}
