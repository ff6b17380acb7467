package content

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"apocryph/proto/status"

	"golang.org/x/sync/errgroup"
)

// reportEvery is how often progress is told.
const reportEvery = 200 * time.Millisecond

// blobFile is what a fetch needs of the file that it fills.
type blobFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
}

func createBlobFile(path string) (blobFile, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}

func readUpTo(r io.ReaderAt, p []byte, from, to int64) (int, error) {
	n, err := 0, error(nil)
	if to > from {
		n, err = r.ReadAt(p[:to-from], from)
	}
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// local marks an error of this machine: another peer will not help.
type local struct{ error }

func (l local) Unwrap() error { return l.error }

// bring runs the parts of a fetch: transfer, digest, progress.
func (f *fetch) bring(ctx context.Context) error {
	partial := f.s.BlobPath(f.req.Digest) + partialExt
	if err := f.openPartial(partial); err != nil {
		return diskError(err)
	}
	g, gctx := errgroup.WithContext(ctx)
	moved := make(chan struct{})
	var sum string
	g.Go(func() error {
		defer close(moved)
		if err := f.rehash(gctx); err != nil {
			return final(err)
		}
		return f.transfer(gctx)
	})
	g.Go(func() (err error) {
		sum, err = f.hash(gctx)
		return err
	})
	g.Go(func() error {
		f.tell(moved)
		return nil
	})
	if err := g.Wait(); err != nil {
		if status.ReasonOf(err) == "content.disk_full" {
			// Kept for the next try it would keep the disk full for everybody else.
			_ = os.Remove(partial)
		}
		return err
	}
	if sum != f.req.Digest {
		// Its leaves are those of the CID, so the same bytes would come again.
		_ = os.Remove(partial)
		return status.New(status.Untrusted, "content.digest", "the blob hashes to %s, want %s", sum, f.req.Digest)
	}
	// All is here: that nobody waits any more is no reason to leave it unfinished.
	return f.place(context.WithoutCancel(ctx), partial)
}

// openPartial opens what is there. A complete blob without a record is what a
// crash left just before the end: it is verified again.
func (f *fetch) openPartial(partial string) error {
	f.s.sweep.RLock()
	defer f.s.sweep.RUnlock()
	final := f.s.BlobPath(f.req.Digest)
	if _, err := os.Stat(final); err == nil {
		if err := os.Rename(final, partial); err != nil {
			return err
		}
	}
	file, err := f.s.create(partial)
	if err != nil {
		return err
	}
	if st, err := file.Stat(); err != nil || st.Size() > f.req.Size {
		if err := errors.Join(err, file.Truncate(f.req.Size)); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	f.mu.Lock()
	f.file = file
	f.mu.Unlock()
	return nil
}

// place makes the verified blob durable under its name and enters it in the index.
func (f *fetch) place(ctx context.Context, partial string) error {
	s := f.s
	if err := f.file.Sync(); err != nil {
		return diskError(err)
	}
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	final := s.BlobPath(f.req.Digest)
	if err := os.Rename(partial, final); err != nil {
		return diskError(err)
	}
	if err := syncDir(s.path("blobs/sha256")); err != nil {
		return diskError(err)
	}
	st, err := os.Stat(final)
	if err != nil {
		return diskError(err)
	}
	if st.Size() != f.req.Size {
		return status.New(status.Internal, "content.disk", "the blob has %d bytes on disk, want %d", st.Size(), f.req.Size)
	}
	err = s.enter(ctx, &file{
		node: f.req.CID, path: final, size: f.req.Size, modTime: st.ModTime(), digest: f.req.Digest, added: s.now(), hashed: st,
	})
	return diskError(err)
}

// hash follows the bytes as they arrive without a gap, and reads them back from
// the file, so that the digest is of what is on disk.
func (f *fetch) hash(ctx context.Context) (string, error) {
	stop := context.AfterFunc(ctx, func() { f.mu.Lock(); f.changed.Broadcast(); f.mu.Unlock() })
	defer stop()
	h := sha256.New()
	buf := make([]byte, 256<<10)
	for pos := int64(0); pos < f.req.Size; {
		f.mu.Lock()
		for f.have.prefix() <= pos && ctx.Err() == nil {
			f.changed.Wait()
		}
		end := f.have.prefix()
		f.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return "", err
		}
		for pos < end {
			b := buf[:min(int64(len(buf)), end-pos)]
			if _, err := f.file.ReadAt(b, pos); err != nil {
				return "", diskError(err)
			}
			h.Write(b)
			pos += int64(len(b))
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// tell reports progress until moved is closed.
func (f *fetch) tell(moved <-chan struct{}) {
	t := time.NewTicker(reportEvery)
	defer t.Stop()
	for begun := time.Now(); ; {
		select {
		case <-moved:
			return
		case <-t.C:
		}
		f.mu.Lock()
		p, reports := f.progress(begun), slices.Clone(f.reports)
		f.mu.Unlock()
		for _, r := range reports {
			r(p)
		}
	}
}

// mark notes that a verified leaf is in the file.
func (f *fetch) mark(w want, source string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.have.add(w.off, w.off+w.size)
	if source != "" {
		f.source = source
	}
	f.changed.Broadcast()
}

func (f *fetch) arrived() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.have.sum()
}

// transfer asks each source in turn until nothing is missing.
func (f *fetch) transfer(ctx context.Context) error {
	ask := asker{s: f.s, arrived: f.arrived}
	f.mu.Lock()
	ask.peers, ask.anyone = slices.Clone(f.peers), f.anyone
	f.mu.Unlock()
	ask.missing = func(ctx context.Context) (bool, error) {
		w, err := f.missing(ctx, false)
		return len(w) > 0, err
	}
	ask.peer = f.fromPeer
	ask.network = f.fromNetwork
	err := ask.run(ctx)
	if err == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("fetching blob %s: %w", f.req.CID, err)
}
