package keyfile_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"apocryph/attest/device/keyfile"
	"apocryph/proto/status"
)

func random() ([]byte, error) {
	b := make([]byte, 32)
	_, err := rand.Read(b)
	return b, err
}

func TestCreatesOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := keyfile.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want not exist", err)
	}
	// Racing callers all get what the first one made.
	got := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			b, err := keyfile.ReadOrCreate(path, random)
			if err != nil {
				t.Error(err)
			}
			got[i] = b
		})
	}
	wg.Wait()
	for _, b := range got {
		if len(b) != 32 || !bytes.Equal(b, got[0]) {
			t.Errorf("got %x and %x", got[0], b)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want the key alone", entries, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestRefuses(t *testing.T) {
	never := func() ([]byte, error) { t.Error("made a key where there is a file"); return random() }
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o644} {
		if err := errors.Join(os.WriteFile(path, []byte("k"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := keyfile.ReadOrCreate(path, never); status.ReasonOf(err) != "keyfile.mode" {
			t.Errorf("%04o: got %v", mode, err)
		}
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, make([]byte, 64<<10+1), 0o600)); err != nil {
		t.Fatal(err)
	}
	if b, err := keyfile.ReadOrCreate(path, never); err == nil {
		t.Errorf("got %d bytes", len(b))
	}
	fault := errors.New("fault")
	other := filepath.Join(dir, "other")
	if _, err := keyfile.ReadOrCreate(other, func() ([]byte, error) { return nil, fault }); !errors.Is(err, fault) {
		t.Errorf("got %v, want the maker's error", err)
	}
	if _, err := os.Stat(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a failed maker left a file: %v", err)
	}
	if _, err := keyfile.ReadOrCreate(filepath.Join(dir, "no", "key"), random); err == nil {
		t.Error("made a file without directory")
	}
}
