package content

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"apocryph/proto/status"

	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
)

// maxMemory bounds a file that is read into memory because it is kept as blocks.
const maxMemory = 16 << 20

// Blob is a file of the store, perhaps still arriving. It implements
// [io.ReaderAt] and [io.Closer]. While it is open GC does not remove it.
type Blob struct {
	src    blobSource
	size   int64
	digest string
}

type blobSource interface {
	io.ReaderAt
	io.Closer
	wait(ctx context.Context) error
}

// Size is the number of bytes of the whole blob.
func (b *Blob) Size() int64 { return b.size }

// Digest is "sha256:HEX", empty where it is not known.
func (b *Blob) Digest() string { return b.digest }

// ReadAt waits until the bytes that it was asked for have arrived and were
// verified. A read that reaches the last byte waits until the digest of the
// whole blob was verified. After the fetch has failed every read returns its error.
func (b *Blob) ReadAt(p []byte, off int64) (int, error) { return b.src.ReadAt(p, off) }

// Wait returns when the whole blob is here, verified and on disk, or with the
// error of its fetch.
func (b *Blob) Wait(ctx context.Context) error { return b.src.wait(ctx) }

// Close ends reading. A fetch that nobody waits for any more is stopped; what
// it brought is kept for the next.
func (b *Blob) Close() error { return b.src.Close() }

// localBlob is a blob that is all here.
type localBlob struct {
	io.ReaderAt
	closer func() error
}

func (l *localBlob) wait(context.Context) error { return nil }
func (l *localBlob) Close() error               { return l.closer() }

func (s *Store) openFile(f *file) (*Blob, error) {
	if _, err := f.stat(); err != nil {
		return nil, err
	}
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	release := s.lease(f.node)
	closer := sync.OnceValue(func() error { release(); return r.Close() })
	return &Blob{&localBlob{io.NewSectionReader(r, 0, f.size), closer}, f.size, f.digest}, nil
}

// Open opens a file that is here. It is not_found when any of it is not.
func (s *Store) Open(ctx context.Context, c cid.Cid) (*Blob, error) {
	if f, ok := s.files.find(c); ok {
		b, err := s.openFile(f)
		if err == nil {
			return b, nil
		}
		s.drop(ctx, f, err)
	}
	data, err := s.ReadBytes(ctx, c, maxMemory)
	if err != nil {
		return nil, err
	}
	return &Blob{&localBlob{bytes.NewReader(data), func() error { return nil }}, int64(len(data)), ""}, nil
}

// ReadBytes reads a file that is here and has at most max bytes.
func (s *Store) ReadBytes(ctx context.Context, c cid.Cid, max int64) ([]byte, error) {
	var out []byte
	err := s.walkFile(ctx, child{cid: c, size: unknownSize}, func(l child, _ int64) error {
		b, err := view{s}.Get(ctx, l.cid)
		if err != nil {
			return err
		}
		out = append(out, b.RawData()...)
		if int64(len(out)) > max {
			return tooLarge(max)
		}
		return nil
	})
	if format.IsNotFound(err) {
		return nil, errNotHere(c)
	}
	if err != nil {
		return nil, fmt.Errorf("reading content: %w", err)
	}
	return out, nil
}

func tooLarge(max int64) error {
	return status.New(status.InvalidArgument, "content.too_big", "the file has more than %d bytes", max)
}

// List returns the entries of a directory that is here, in the order of its
// links. Sizes are known for entries that are leaves or whose top is here.
func (s *Store) List(ctx context.Context, dir cid.Cid) ([]Entry, error) {
	if isLeaf(dir) {
		return nil, status.New(status.InvalidArgument, "content.directory", "%s is not a directory", dir)
	}
	in, err := s.inner(ctx, dir)
	if format.IsNotFound(err) {
		return nil, errNotHere(dir)
	}
	if err != nil {
		return nil, err
	}
	if !in.dir {
		return nil, status.New(status.InvalidArgument, "content.directory", "%s is not a directory", dir)
	}
	out := make([]Entry, 0, len(in.children))
	for _, c := range in.children {
		n := Node{CID: c.cid, Size: max(c.size, 0), Total: c.total}
		if !isLeaf(c.cid) {
			sub, err := s.inner(ctx, c.cid)
			if err != nil && !format.IsNotFound(err) {
				return nil, err
			}
			n.Size, n.Dir = sub.size, sub.dir
		}
		if f, ok := s.files.find(c.cid); ok {
			n.Digest = f.digest
		}
		out = append(out, Entry{Name: c.name, Node: n})
	}
	return out, nil
}
