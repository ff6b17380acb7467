package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"apocryph/proto/status"
)

// maxHeadFile bounds the file in bytes, before it is read.
const maxHeadFile = 16 << 10

// HeadFile keeps the last head of the transparency log that was signed, in a
// file of its own: a copy of the store that is put back does not take it along,
// so that the provider notices. It cannot notice that both were put back; those
// who were shown a later head do.
type HeadFile struct{ path string }

// NewHeadFile names the file; it touches no disk.
func NewHeadFile(path string) HeadFile { return HeadFile{path} }

// LoadHead returns what was saved last, nil where nothing was.
func (h HeadFile) LoadHead() ([]byte, error) {
	f, err := os.Open(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last head: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHeadFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the last head: %w", err)
	}
	if len(b) > maxHeadFile {
		return nil, status.New(status.Internal, "store.corrupt", "%s has more than %d bytes", h.path, maxHeadFile)
	}
	return b, nil
}

// SaveHead replaces the file, mode 0600. It is durable when it returns nil; at
// any moment of a crash the old or the new one is there.
func (h HeadFile) SaveHead(b []byte) error {
	if err := h.replace(b); err != nil {
		return fmt.Errorf("keeping the last head: %w", err)
	}
	return nil
}

func (h HeadFile) replace(b []byte) error {
	dir := filepath.Dir(h.path)
	// One name, so that crashes leave one file at most; there is one writer.
	temp := h.path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp, h.path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // nothing was written
	return d.Sync()
}
