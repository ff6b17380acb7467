package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"apocryph/proto/status"
)

// maxSize is in bytes. A longer file was not written by this package.
const maxSize = 64 << 10

// ReadOrCreate returns the bytes of the file at path, whose directory must
// exist. Where there is no file, it makes one of mode 0600 with what create
// returns. A file that others can read is permission_denied, reason
// "keyfile.mode".
func ReadOrCreate(path string, create func() ([]byte, error)) ([]byte, error) {
	b, err := Read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if b, err = create(); err != nil {
		return nil, err
	}
	if err := link(path, b); err != nil {
		return nil, err
	}
	return Read(path)
}

// Read returns the bytes of the file at path; its errors are those of
// [ReadOrCreate], and fs.ErrNotExist.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	name := filepath.Base(path)
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, status.New(status.PermissionDenied, "keyfile.mode", "%s: got mode %04o, want 0600", name, mode).
			WithHint("others on this machine may have read it; if they have not, set the mode")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxSize)
	}
	return b, nil
}

func link(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("making temporary file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing temporary file: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("naming file: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("opening directory: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
