package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"apocryph/proto/status"
)

const (
	// maxFile bounds a file, in bytes, before it is read into memory.
	maxFile    = 4 << 20
	tempPrefix = ".tmp-"
)

// readJSON reads a file into v, which is strict: what is not known here was
// written by someone else, and would be lost when it is written back.
func (s *State) readJSON(path string, version int, v any) error {
	data, err := readFile(path)
	if err != nil {
		return err
	}
	var head struct {
		Version int `json:"version"`
	}
	corrupt := func(err error) error {
		return status.Wrap(err, status.InvalidArgument, "state.corrupt", "%s is damaged", path).
			WithHint("move the file away; what it said is forgotten here, a provider's pods are not")
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return corrupt(err)
	}
	if head.Version > version {
		return status.New(status.InvalidArgument, "state.newer", "%s was written by a newer publisher: it has version %d, want at most %d", path, head.Version, version).
			WithHint("use the newer publisher, or another --home")
	}
	if head.Version < 1 {
		return corrupt(fmt.Errorf("version is %d", head.Version))
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return corrupt(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return corrupt(errors.New("data after the end"))
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, status.New(status.InvalidArgument, "state.corrupt", "%s has more than %d bytes", path, maxFile)
	}
	return data, nil
}

func (s *State) writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	if len(data) > maxFile {
		return status.New(status.InvalidArgument, "state.size", "%s would have %d bytes, want at most %d", path, len(data), maxFile)
	}
	if err := replace(path, append(data, '\n')); err != nil {
		return s.diskError(err, path)
	}
	return nil
}

// replace writes a file, mode 0600, so that at any moment of a crash the old or
// the new one is there.
func replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
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

func (s *State) diskError(err error, path string) error {
	switch {
	case isDiskFull(err):
		return status.Wrap(err, status.ResourceExhausted, "state.disk", "there is no space left for %s", path).WithHint("free some space")
	case errors.Is(err, syscall.ENOTDIR):
		return status.Wrap(err, status.InvalidArgument, "state.disk", "a part of %s is no directory", path).WithHint("choose another --home")
	case errors.Is(err, fs.ErrPermission):
		return status.Wrap(err, status.PermissionDenied, "state.disk", "%s is not accessible", path).
			WithHint("check who owns %s, or choose another --home", s.dir)
	}
	return fmt.Errorf("using %s: %w", path, err)
}
