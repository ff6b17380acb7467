package providerd

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLogDir gives each boot a directory of its own, and only one is kept.
func TestLogDir(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "podlog")
	one, err := logDir(parent, []byte("one boot"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(one, "journal"), []byte("another key's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := logDir(parent, []byte("one boot")); again != one || err != nil {
		t.Errorf("the same boot: %s, %v, want %s", again, err, one)
	}
	if _, err := os.Stat(filepath.Join(one, "journal")); err != nil {
		t.Errorf("the same boot lost its log: %v", err)
	}
	two, err := logDir(parent, []byte("another boot"))
	if two == one || err != nil {
		t.Errorf("another boot: %s, %v", two, err)
	}
	if left, err := os.ReadDir(parent); len(left) != 1 || err != nil {
		t.Errorf("kept: %v, %v", left, err)
	}
}
