package soft_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/soft"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

func program(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	check(t, os.WriteFile(path, []byte("a program"), 0o700))
	return path
}

func open(t testing.TB, dir string) *soft.Device {
	t.Helper()
	d, err := soft.Open(dir, program(t), time.Now)
	check(t, err)
	return d
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func appraise(t *testing.T, d *soft.Device, roots verify.Roots, now time.Time) (*attest.Result, error) {
	t.Helper()
	ch := attesttest.NewChallenge(t)
	claims := attest.EncodeClaims(attesttest.Claims(ch, now))
	e, err := d.Attest(t.Context(), claims)
	check(t, err)
	return verify.Evidence([]attest.Evidence{e}, claims, ch, nil, roots, now)
}

func TestAttest(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	roots := verify.Roots{SoftCAs: [][32]byte{d.CAFingerprint()}}
	r, err := appraise(t, d, roots, time.Now())
	check(t, err)
	want := sha512.Sum384([]byte("a program"))
	if d.Type() != attest.Soft || r.Level != attest.LevelSoft || !bytes.Equal(r.SNP.Measurement, want[:]) || !bytes.Equal(d.Measurement(), want[:]) {
		t.Errorf("got %+v", r.SNP)
	}
	again := open(t, dir)
	if again.CAFingerprint() != d.CAFingerprint() {
		t.Error("opening again made another device")
	}
	r2, err := appraise(t, again, roots, time.Now())
	check(t, err)
	if !bytes.Equal(r.SNP.ChipID, r2.SNP.ChipID) {
		t.Error("the chip is another one")
	}
	other := open(t, t.TempDir())
	if other.CAFingerprint() == d.CAFingerprint() {
		t.Error("two directories share a CA")
	}
	if _, err := appraise(t, other, roots, time.Now()); status.ReasonOf(err) != "attest.untrusted_root" {
		t.Errorf("another CA: got %v", err)
	}
	if _, err := appraise(t, d, roots, time.Now().Add(6*365*24*time.Hour)); err != nil {
		t.Errorf("after six years: %v", err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	key, err := d.DataKey(t.Context())
	check(t, err)
	entries, err := os.ReadDir(dir)
	check(t, err)
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		check(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", e.Name(), info.Mode().Perm())
		}
		names = append(names, e.Name())
	}
	if want := []string{"soft-datakey", "soft-device.pem"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	// The CA's keys are gone: the file has the chip's only.
	text, err := os.ReadFile(filepath.Join(dir, "soft-device.pem"))
	check(t, err)
	if n := bytes.Count(text, []byte("BEGIN PRIVATE KEY")); n != 1 {
		t.Errorf("got %d private keys, want 1", n)
	}
	again, err := open(t, dir).DataKey(t.Context())
	check(t, err)
	if len(key) != 32 || !bytes.Equal(key, again) {
		t.Errorf("got %x then %x", key, again)
	}
}

func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "soft-device.pem")
	open(t, dir)
	good, err := os.ReadFile(path)
	check(t, err)
	other := t.TempDir()
	open(t, other)
	otherText, err := os.ReadFile(filepath.Join(other, "soft-device.pem"))
	check(t, err)
	otherKey, _ := pem.Decode(otherText)
	_, certificates := pem.Decode(good)
	for name, text := range map[string][]byte{
		"empty": nil, "noise": []byte("noise"), "cut": good[:len(good)/2], "no key": certificates,
		"another device's key": append(pem.EncodeToMemory(otherKey), certificates...),
		"key of noise":         append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("noise")}), certificates...),
		"a certificate more":   append(slices.Clone(good), certificates...),
	} {
		check(t, os.WriteFile(path, text, 0o600))
		_, err := soft.Open(dir, program(t), time.Now)
		if status.ReasonOf(err) != "soft.damaged" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	check(t, os.WriteFile(path, good, 0o600))
	check(t, os.Chmod(path, 0o640))
	_, err = soft.Open(dir, program(t), time.Now)
	if status.ReasonOf(err) != "keyfile.mode" {
		t.Errorf("readable by others: got %v", err)
	}
	check(t, os.Chmod(path, 0o600))
	d := open(t, dir)
	check(t, os.WriteFile(filepath.Join(dir, "soft-datakey"), []byte("short"), 0o600))
	if _, err := d.DataKey(t.Context()); status.ReasonOf(err) != "soft.damaged" {
		t.Errorf("short key: got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	if d, err := soft.Open(t.TempDir(), program(t), nil); err == nil {
		t.Errorf("without clock: got %v", d)
	}
	if d, err := soft.Open(t.TempDir(), "/nonexistent", time.Now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without program: got %v, %v", d, err)
	}
	if d, err := soft.Open(t.TempDir(), t.TempDir(), time.Now); err == nil {
		t.Errorf("with a directory as program: got %v", d)
	}
	if d, err := soft.Open("/nonexistent", program(t), time.Now); err == nil {
		t.Errorf("without directory: got %v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := open(t, t.TempDir())
	if _, err := d.DataKey(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: got %v", err)
	}
	if _, err := d.Attest(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: got %v", err)
	}
}

func TestShownRootsAreTheCA(t *testing.T) {
	d := open(t, t.TempDir())
	e, err := d.Attest(t.Context(), nil)
	check(t, err)
	shown := verify.RootsShown(nil, []attest.Evidence{e})
	if len(shown.SoftCAs) != 1 || shown.SoftCAs[0] != d.CAFingerprint() || sha256.Sum256(e.Certificates[2]) != d.CAFingerprint() {
		t.Errorf("got %x, want %x", shown.SoftCAs, d.CAFingerprint())
	}
}
