package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"apocryph/proto/status"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// verifier lets size bytes through and fails unless they have the digest. The
// verdict comes with the last byte, so that a caller who counts bytes instead
// of waiting for io.EOF gets it too.
type verifier struct {
	rc            io.ReadCloser
	sum           hash.Hash
	left          int64
	digest, where string
	err           error
}

func verify(rc io.ReadCloser, digest string, size int64, where string) *verifier {
	return &verifier{rc: rc, sum: sha256.New(), left: size, digest: digest, where: where}
}

// Verifies returns the digest that the bytes are held to.
func (v *verifier) Verifies() string { return v.digest }

func (v *verifier) Close() error { return v.rc.Close() }

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.rc.Read(p)
	if int64(n) > v.left {
		v.err = v.fault("is longer than it says")
		return 0, v.err
	}
	v.sum.Write(p[:n])
	v.left -= int64(n)
	switch {
	case v.left == 0 && n > 0:
		if got := "sha256:" + hex.EncodeToString(v.sum.Sum(nil)); got != v.digest {
			v.err = v.fault("was altered: its digest is " + got)
		}
	case err == io.EOF && v.left == 0:
		// Also the empty blob comes here, without a byte.
		if got := "sha256:" + hex.EncodeToString(v.sum.Sum(nil)); got != v.digest {
			v.err = v.fault("was altered: its digest is " + got)
		} else {
			v.err = io.EOF
		}
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		v.err = v.fault("is truncated")
	case err != nil:
		v.err = v.broken(err)
	}
	return n, v.err
}

// broken names the blob in an error that has no class yet, such as that of a decompressor.
func (v *verifier) broken(err error) error {
	var classified *status.Error
	if errors.As(err, &classified) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return status.Wrap(err, status.InvalidArgument, "image.digest", "%s cannot be read, want %s", v.where, v.digest).
		WithHint("save or copy the image again")
}

func (v *verifier) fault(what string) error {
	return status.New(status.InvalidArgument, "image.digest", "%s %s, want %s", v.where, what, v.digest).
		WithHint("save or copy the image again")
}

// source is a place that has blobs.
type source interface {
	// open returns the bytes of a blob, not yet verified; manifest says that it
	// is a manifest or an index, which registries keep apart.
	open(ctx context.Context, d ocispec.Descriptor, manifest bool) (io.ReadCloser, error)
	// where names the blob for error texts.
	where(d ocispec.Descriptor) string
}

// checkDescriptor holds a descriptor to its cap before anything of it is read.
func checkDescriptor(d ocispec.Descriptor, most int64, where string) error {
	if !digestPattern.MatchString(d.Digest.String()) {
		return status.New(status.InvalidArgument, "image.digest", "%s: digest: got %q, want sha256 and 64 hex digits", where, clip(d.Digest.String()))
	}
	if d.Size < 0 || d.Size > most {
		return status.New(status.InvalidArgument, "image.size", "%s has %d bytes, want at most %d", where, d.Size, most)
	}
	return nil
}

// readBlob reads a small blob whole.
func readBlob(ctx context.Context, src source, d ocispec.Descriptor, most int64, manifest bool) ([]byte, error) {
	where := src.where(d)
	if err := checkDescriptor(d, most, where); err != nil {
		return nil, err
	}
	rc, err := src.open(ctx, d, manifest)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, verify(rc, d.Digest.String(), d.Size, where)); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Verify returns a reader of rc's bytes that fails unless they are size bytes
// with the given digest, "sha256:...". Errors begin with where.
func Verify(rc io.ReadCloser, digest string, size int64, where string) io.ReadCloser {
	return verify(rc, digest, size, where)
}
