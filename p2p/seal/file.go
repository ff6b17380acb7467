package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"apocryph/proto/status"
)

// file is what a blob is written to before it has a name.
type file interface {
	Write([]byte) (int, error)
	Sync() error
	Stat() (fs.FileInfo, error)
	Name() string
	Close() error
}

// tempDir has nothing but unfinished blobs.
func (s *Sealer) tempDir() string { return filepath.Join(s.cfg.Dir, "sealing") }

func createTemp(dir string) (file, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.CreateTemp(dir, "blob-*")
}

// clean removes what a killed process left, unless somebody is sealing now.
func (s *Sealer) clean() error {
	release, ok, err := s.cfg.Guard.Exclusive()
	if err != nil || !ok {
		return err
	}
	defer release()
	if err := os.RemoveAll(s.tempDir()); err != nil {
		return s.diskError(err)
	}
	return nil
}

// diskError classifies an error of writing to Dir.
func (s *Sealer) diskError(err error) error {
	if isDiskFull(err) {
		return status.Wrap(err, status.ResourceExhausted, "seal.disk", "there is no space left for encrypted layers in %s", s.cfg.Dir).
			WithHint("free some space; layers that are encrypted already are kept and used again")
	}
	if errors.Is(err, fs.ErrPermission) {
		return status.Wrap(err, status.PermissionDenied, "seal.disk", "encrypted layers may not be written to %s", s.cfg.Dir)
	}
	return fmt.Errorf("writing encrypted layer: %w", err)
}

// syncDir makes a rename durable; Windows has no such call and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
