package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"apocryph/proto/status"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// files is a tree of files: a directory or a tar archive.
type files interface {
	// open returns a file's bytes and their number, or fs.ErrNotExist.
	open(ctx context.Context, name string) (io.ReadCloser, int64, error)
	// where names a file for error texts.
	where(name string) string
}

// dirFiles is a directory.
type dirFiles string

func (d dirFiles) where(name string) string {
	return filepath.Join(string(d), filepath.FromSlash(name))
}

func (d dirFiles) open(_ context.Context, name string) (io.ReadCloser, int64, error) {
	f, size, err := openRegular(d.where(name))
	if err != nil {
		return nil, 0, err
	}
	return f, size, nil
}

// openRegular opens a regular file: a pipe or device would block or never end.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, status.New(status.InvalidArgument, "image.file", "%s is %s, want a regular file", path, kind(info))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func kind(info fs.FileInfo) string {
	if info.IsDir() {
		return "a directory"
	}
	return "a special file"
}

// fileError classifies an error of opening what the user named.
func fileError(err error, path string) error {
	var classified *status.Error
	switch {
	case errors.As(err, &classified):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return status.New(status.NotFound, "image.not_found", "there is no image at %s", path).
			WithHint("a relative path in a manifest is relative to the directory of the manifest")
	case errors.Is(err, fs.ErrPermission):
		return status.Wrap(err, status.PermissionDenied, "image.file", "%s may not be read", path)
	}
	return fmt.Errorf("opening %s: %w", path, err)
}

// layout is an OCI image layout (image spec 1.1, image-layout.md) as a source.
type layout struct{ files }

func blobName(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func (l layout) where(d ocispec.Descriptor) string { return l.files.where(blobName(d.Digest.String())) }

func (l layout) open(ctx context.Context, d ocispec.Descriptor, _ bool) (io.ReadCloser, error) {
	rc, size, err := l.files.open(ctx, blobName(d.Digest.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, status.New(status.NotFound, "image.blob", "%s is missing", l.where(d)).WithHint("save or copy the image again")
	}
	if err != nil {
		return nil, fileError(err, l.where(d))
	}
	if size != d.Size {
		rc.Close()
		what := "is truncated"
		if size > d.Size {
			what = "is longer than it says"
		}
		return nil, status.New(status.InvalidArgument, "image.digest", "%s %s: it has %d bytes, want %d with digest %s", l.where(d), what, size, d.Size, d.Digest).
			WithHint("save or copy the image again")
	}
	return rc, nil
}

func readLayoutDir(ctx context.Context, dir string, ref Reference, want Platform) (*Image, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fileError(err, dir)
	}
	if !info.IsDir() {
		return nil, status.New(status.InvalidArgument, "image.file", "%s is a file, want a directory that is an OCI image layout", dir).
			WithHint("for a file write oci-archive:FILE or docker-archive:FILE")
	}
	return readLayout(ctx, dirFiles(dir), dir, ref, want)
}

func readLayoutArchive(ctx context.Context, file string, ref Reference, want Platform) (*Image, error) {
	t, err := openTar(ctx, file)
	if err != nil {
		return nil, fileError(err, file)
	}
	return readLayout(ctx, t, file, ref, want)
}

func readLayout(ctx context.Context, tree files, path string, ref Reference, want Platform) (*Image, error) {
	data, err := readSmall(ctx, tree, "index.json", MaxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		hint := "docker buildx build --output type=oci and skopeo copy write OCI image layouts"
		if _, err := readSmall(ctx, tree, "manifest.json", MaxManifest); err == nil {
			hint = "it looks like an output of docker save: write docker-archive:FILE"
		}
		return nil, status.New(status.InvalidArgument, "image.layout", "%s is no OCI image layout: it has no index.json", path).WithHint("%s", hint)
	}
	if err != nil {
		return nil, err
	}
	doc, err := parseDocument(data, "", tree.where("index.json"))
	if err != nil {
		return nil, err
	}
	descs, err := chooseTag(doc.Manifests, ref, path)
	if err != nil {
		return nil, err
	}
	return choose(ctx, layout{tree}, descs, want, ref.String())
}

// chooseTag keeps the descriptors that ref means.
func chooseTag(all []ocispec.Descriptor, ref Reference, where string) ([]ocispec.Descriptor, error) {
	tags := tagsOf(all)
	if ref.Digest == "" && ref.Name == "" {
		if len(tags) > 1 {
			return nil, status.New(status.InvalidArgument, "image.tag", "%s has several images: %s", where, listNames(tags)).
				WithHint("choose one: %s:%s:TAG", ref.Transport, ref.Path)
		}
		return all, nil
	}
	var chosen []ocispec.Descriptor
	for _, d := range all {
		if ref.Digest != "" && d.Digest.String() == ref.Digest || ref.Name != "" && tagMatches(d, ref.Name) {
			chosen = append(chosen, d)
		}
	}
	if len(chosen) == 0 && ref.Digest != "" {
		return nil, status.New(status.NotFound, "image.tag", "%s has no image %s", where, ref.Digest)
	}
	if len(chosen) == 0 {
		return nil, status.New(status.NotFound, "image.tag", "%s has no tag %q: it has %s", where, ref.Name, listNames(tags))
	}
	return chosen, nil
}

// tagMatches knows the two habits of annotating tags: the bare tag, and the
// full name that containerd and podman write.
func tagMatches(d ocispec.Descriptor, tag string) bool {
	for _, key := range []string{ocispec.AnnotationRefName, "io.containerd.image.name"} {
		if v := d.Annotations[key]; v == tag || strings.HasSuffix(v, ":"+tag) {
			return true
		}
	}
	return false
}

// readSmall reads a file that no digest names.
func readSmall(ctx context.Context, tree files, name string, most int64) ([]byte, error) {
	rc, size, err := tree.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	if size > most {
		return nil, status.New(status.InvalidArgument, "image.size", "%s has %d bytes, want at most %d", tree.where(name), size, most)
	}
	data, err := io.ReadAll(io.LimitReader(rc, most+1))
	if err == nil && int64(len(data)) != size {
		err = status.New(status.InvalidArgument, "image.size", "%s has %d bytes, want %d: it is truncated", tree.where(name), len(data), size)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", tree.where(name), err)
	}
	return data, nil
}

// within is the path of a tar entry or a link's target, without ./ and the like.
func within(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }
