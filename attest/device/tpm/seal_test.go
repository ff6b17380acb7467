package tpm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"apocryph/attest/attesttest"
	"apocryph/attest/device/tpm"
	"apocryph/proto/status"
)

func sealing(t *testing.T, m *attesttest.TPM) {
	d := open(t, m, t.TempDir())
	for _, key := range [][]byte{{1}, bytes.Repeat([]byte{7}, 32), make([]byte, 128)} {
		blob, err := d.SealKey(t.Context(), key)
		check(t, err)
		if len(key) > 1 && bytes.Contains(blob, key) {
			t.Error("the blob shows the key")
		}
		got, err := d.UnsealKey(t.Context(), blob)
		check(t, err)
		if !bytes.Equal(got, key) {
			t.Errorf("got %x, want %x", got, key)
		}
		// The pod log's register is not one of those.
		m.Extend(t, 14, sha256.Sum256(key))
		_, err = d.UnsealKey(t.Context(), blob)
		check(t, err)
	}
	if n := loaded(t, m); n != 0 {
		t.Errorf("%d objects and sessions are left in the TPM", n)
	}
}

// TestDamagedSeal flips and cuts a sealed blob, and takes it to another TPM.
func TestDamagedSeal(t *testing.T) {
	m := attesttest.SWTPM(t)
	d := open(t, m, t.TempDir())
	blob, err := d.SealKey(t.Context(), []byte("key"))
	check(t, err)
	for bit := 0; bit < 8*len(blob); bit += 53 {
		bad := bytes.Clone(blob)
		bad[bit/8] ^= 1 << (bit % 8)
		if key, err := d.UnsealKey(t.Context(), bad); err == nil {
			t.Errorf("bit %d: got %q", bit, key)
		}
	}
	for _, bad := range [][]byte{nil, blob[:10], blob[:20], blob[:len(blob)-1], append(bytes.Clone(blob), 0)} {
		_, err := d.UnsealKey(t.Context(), bad)
		wantReason(t, err, status.Untrusted, "tpm.sealed_elsewhere")
	}
	other := open(t, m.Sibling(t), t.TempDir())
	_, err = other.UnsealKey(t.Context(), blob)
	wantReason(t, err, status.Untrusted, "tpm.sealed_elsewhere")
	_, err = d.UnsealKey(t.Context(), blob)
	check(t, err)
	// The seal breaks with the state that it names, for good in this boot.
	m.Extend(t, 7, sha256.Sum256([]byte("secure boot is off")))
	_, err = d.UnsealKey(t.Context(), blob)
	wantReason(t, err, status.Untrusted, "tpm.sealed_state_changed")
	if n := loaded(t, m); n != 0 {
		t.Errorf("%d objects and sessions are left in the TPM", n)
	}
}

func dataKey(t *testing.T, m *attesttest.TPM) {
	dir := t.TempDir()
	d := open(t, m, dir)
	key, err := d.DataKey(t.Context())
	check(t, err)
	if len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
		t.Errorf("got %x", key)
	}
	path := filepath.Join(dir, "datakey.tpm")
	blob, err := os.ReadFile(path)
	check(t, err)
	if bytes.Contains(blob, key) {
		t.Error("the key lies in its file in plain")
	}
	check(t, d.Close())

	again := open(t, m, dir)
	got, err := again.DataKey(t.Context())
	check(t, err)
	if !bytes.Equal(got, key) {
		t.Error("another key at the second time")
	}
	// A damaged file stays where it is, and the machine gets another key.
	for _, damage := range [][]byte{blob[:30], nil} {
		check(t, os.WriteFile(path, damage, 0o600))
		got, err := again.DataKey(t.Context())
		check(t, err)
		if bytes.Equal(got, key) {
			t.Error("a damaged seal opens")
		}
		kept, err := os.ReadFile(path)
		check(t, err)
		if !bytes.Equal(kept, damage) {
			t.Error("a seal that does not open was replaced")
		}
	}
	check(t, os.Remove(path+".2"))
	check(t, os.WriteFile(path, blob, 0o600))
	got, err = again.DataKey(t.Context())
	check(t, err)
	if !bytes.Equal(got, key) {
		t.Error("another key with the seal restored")
	}
	check(t, os.Chmod(path, 0o644))
	_, err = again.DataKey(t.Context())
	wantReason(t, err, status.PermissionDenied, "keyfile.mode")
	check(t, again.Close())

	nowhere, err := tpm.Open(context.Background(), tpm.Config{Path: m.Path, StateDir: filepath.Join(dir, "missing")})
	check(t, err)
	if key, err := nowhere.DataKey(t.Context()); err == nil {
		t.Errorf("got %x without a directory", key)
	}
	check(t, nowhere.Close())
}
