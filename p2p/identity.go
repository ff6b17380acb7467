package p2p

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/libp2p/go-libp2p/core/crypto"

	"apocryph/proto/status"
)

// maxIdentitySize bounds the identity file in bytes; an Ed25519 key takes 68.
const maxIdentitySize = 4096

// LoadIdentity returns the Ed25519 key in the file at path, in libp2p's
// protobuf form. At first use the key is made and stored durably with mode
// 0600; of two processes that do so at once, both return the same key. A file
// that others can read is refused: its key may have been copied.
func LoadIdentity(path string) (crypto.PrivKey, error) {
	key, err := readIdentity(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := createIdentity(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("creating identity: %w", err)
	}
	return readIdentity(path)
}

func readIdentity(path string) (crypto.PrivKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening identity: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening identity: %w", err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, status.New(status.InvalidArgument, "identity.mode", "identity file %s: got mode %04o, want 0600", path, mode).
			WithHint("if nobody else read it, run chmod 600 %s; otherwise delete it and a new identity is made", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxIdentitySize+1))
	if err != nil {
		return nil, fmt.Errorf("reading identity: %w", err)
	}
	key, err := crypto.UnmarshalPrivateKey(raw)
	// The library's error is not passed on: it could quote key bytes.
	if err != nil || len(raw) > maxIdentitySize || key.Type() != crypto.Ed25519 {
		return nil, status.New(status.InvalidArgument, "identity.invalid", "identity file %s does not hold an Ed25519 key", path).
			WithHint("restore it from a backup, or delete it and a new identity is made")
	}
	return key, nil
}

// createIdentity writes a new key beside path and links it there: unlike a
// rename, a link never replaces a key that another process has just made.
func createIdentity(path string) error {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return err
	}
	raw, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".identity-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(raw)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // directories cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
