package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// maxFile bounds a manifest or policy file, in bytes: larger than either may
// be, and small enough for a name that turns out to be a device.
const maxFile = 4 << 20

// readFile reads a file that the user named; hint says how to come by one.
func readFile(path, what, hint string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		e := status.Wrap(err, status.InvalidArgument, what+".read", "reading the %s", what)
		if errors.Is(err, os.ErrNotExist) {
			e = e.WithHint("%s", hint)
		}
		return nil, e
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, what+".read", "reading the %s", what)
	}
	if len(b) > maxFile {
		return nil, status.New(status.InvalidArgument, what+".size", "the %s %s has more than %d bytes", what, path, maxFile)
	}
	return b, nil
}

// readManifest reads a manifest file; the directory is where its paths start.
func readManifest(path string) (m *manifest.Manifest, dir string, err error) {
	b, err := readFile(path, "manifest", "`publisher init` writes a sample")
	if err != nil {
		return nil, "", err
	}
	if m, err = manifest.ParseFile(b); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return m, filepath.Dir(path), nil
}

// readPolicy reads a policy file, or returns the built-in strict one.
func readPolicy(path string) (*policy.Policy, []byte, error) {
	if path == "" {
		return policy.Builtin(), nil, nil
	}
	b, err := readFile(path, "policy", "`publisher policy init -o FILE` writes one")
	if err != nil {
		return nil, nil, err
	}
	p, err := policy.Parse(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, b, nil
}

// replaceFile writes a file, so that at any moment the old or the new one is there.
func replaceFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return status.Wrap(err, status.InvalidArgument, "file.write", "writing %s", path)
	}
	_, err = f.Write(b)
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

// writeNew writes a file that must not exist, all of it or nothing.
func writeNew(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return status.New(status.Conflict, "file.exists", "%s exists already", path).WithHint("name another file, or remove it first")
	}
	if err != nil {
		return status.Wrap(err, status.InvalidArgument, "file.write", "writing %s", path)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(path))
	}
	return nil
}
