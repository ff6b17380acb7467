package publisherd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/go-digest"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// PublishPlain makes the directory of an image that is not encrypted, and keeps it under
// its own CID. It is for what is no secret, such as a base image. What it returns has
// no key; its digest is that of the plain manifest.
func (i *Images) PublishPlain(ctx context.Context, text, platform string, report func(done, total int64)) (*manifest.Sealed, string, error) {
	want, err := oci.ParsePlatform(platform)
	if err != nil {
		return nil, "", err
	}
	ref, err := oci.ParseReference(text)
	if err != nil {
		return nil, "", err
	}
	img, err := oci.Read(ctx, ref, oci.Options{Dir: ".", Platform: want})
	if err != nil {
		return nil, "", err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, "", err
	}
	out := &manifest.Sealed{Manifest: m, Config: img.Config}
	out.Image.ImageID, out.Image.EncryptedDigest = img.ID(), digest.FromBytes(m).String()
	for _, l := range img.Layers {
		path := i.store.BlobPath(l.Digest)
		if path == "" {
			return nil, "", status.New(status.InvalidArgument, "image.digest", "layer: digest: got %.80q, want sha256 and 64 hex digits", l.Digest)
		}
		if err := bring(ctx, l, path); err != nil {
			return nil, "", fmt.Errorf("keeping layer %s: %w", l.Digest, err)
		}
		out.Layers = append(out.Layers, manifest.Blob{Digest: l.Digest, Size: l.Size, Path: path})
	}
	root, err := i.Publish(ctx, out, report)
	return out, root, err
}

// bring copies a layer to its place in the store, which has it whole or not at all.
func bring(ctx context.Context, l oci.Layer, to string) error {
	if st, err := os.Lstat(to); err == nil && st.Mode().IsRegular() && st.Size() == l.Size {
		// The store holds it to its digest when it is added.
		return nil
	}
	rc, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer rc.Close()
	dir := filepath.Dir(to)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The name is always the same: what a killed process left is written over.
	f, err := os.OpenFile(to+".plain", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, rc)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		// It has no such call and needs none.
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
