package tsm

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-configfs-tsm/configfs/faketsm"

	"apocryph/attest"
	"apocryph/proto/status"
)

// fakeRTMR extends as the module does.
type fakeRTMR struct {
	value []byte
	err   error
}

func (f *fakeRTMR) Value() ([]byte, error) { return f.value, f.err }

func (f *fakeRTMR) Extend(digest []byte) error {
	sum := sha512.Sum384(append(bytes.Clone(f.value), digest...))
	f.value = sum[:]
	return f.err
}

type noEndorser struct{}

func (noEndorser) Endorse(_ context.Context, e attest.Evidence) (attest.Evidence, error) {
	return e, nil
}

func openTDX(t *testing.T, m Measurement) *Device {
	t.Helper()
	d, err := Open(Config{Type: attest.TDX, Client: &faketsm.Client{}, Register: m, Endorser: noEndorser{}, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRegister(t *testing.T) {
	fake := &fakeRTMR{value: make([]byte, rtmrSize)}
	r, ok := openTDX(t, fake).Register()
	if !ok || r.Name() != "rtmr3" {
		t.Fatalf("got %v, %v", r, ok)
	}
	if err := r.Extend(t.Context(), [32]byte{1}, [48]byte{2}); err != nil {
		t.Fatal(err)
	}
	digest := [48]byte{2}
	want := sha512.Sum384(append(make([]byte, rtmrSize), digest[:]...))
	small, large, err := r.Values(t.Context())
	if err != nil || small != nil || !bytes.Equal(large, want[:]) {
		t.Errorf("got %x, %x, %v, want %x", small, large, err, want)
	}
	fake.value = []byte{1}
	if _, _, err := r.Values(t.Context()); status.CodeOf(err) != status.Unavailable {
		t.Errorf("a short register: %v", err)
	}
	fake.err = errors.New("no")
	if err := r.Extend(t.Context(), [32]byte{}, [48]byte{}); err == nil {
		t.Error("a register that cannot be extended was")
	}
	if _, _, err := r.Values(t.Context()); err == nil {
		t.Error("a register that cannot be read was")
	}
}

func TestNoRegister(t *testing.T) {
	if m, err := OpenRegister(filepath.Join(t.TempDir(), "absent")); m != nil || err != nil {
		t.Errorf("got %v, %v", m, err)
	}
	if r, ok := openTDX(t, nil).Register(); ok {
		t.Errorf("got %v", r)
	}
}

// TestRegisterFile looks only at what is written: a plain file does not extend.
func TestRegisterFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rtmr3:sha384")
	if err := os.WriteFile(path, make([]byte, rtmrSize), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := OpenRegister(path)
	if err != nil {
		t.Fatal(err)
	}
	digest := bytes.Repeat([]byte{7}, rtmrSize)
	if err := m.Extend(digest); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Value(); err != nil || !bytes.Equal(got, digest) {
		t.Errorf("got %x, %v", got, err)
	}
}
