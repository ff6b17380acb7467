package tpm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"testing"

	"apocryph/attest/attesttest"
	"apocryph/attest/device/tpm"
)

// register extends both banks and leaves the device's data key and its
// activation alone. It begins with what other tests left in the register.
func register(t *testing.T, m *attesttest.TPM) {
	d := open(t, m, t.TempDir())
	key, err := d.DataKey(t.Context())
	check(t, err)
	r := d.Register()
	if r.Name() != "pcr14" {
		t.Errorf("got %s", r.Name())
	}
	small, large, err := r.Values(t.Context())
	check(t, err)
	if len(small) != 32 || len(large) != 48 {
		t.Fatalf("got %d and %d bytes", len(small), len(large))
	}
	for i := range byte(3) {
		one, two := sha256.Sum256([]byte{i}), sha512.Sum384([]byte{i})
		check(t, r.Extend(t.Context(), one, two))
		// TPM 2.0 Part 1, 17.2.
		next256, next384 := sha256.Sum256(append(small, one[:]...)), sha512.Sum384(append(large, two[:]...))
		small, large, err = r.Values(t.Context())
		check(t, err)
		if !bytes.Equal(small, next256[:]) || !bytes.Equal(large, next384[:]) {
			t.Fatalf("extension %d: got %x and %x, want %x and %x", i, small, large, next256, next384)
		}
	}
	for _, pcr := range appraise(t, d, m).TPM.PCRs {
		if pcr.Index == 14 && !bytes.Equal(pcr.Value, small) {
			t.Errorf("quoted %x, read %x", pcr.Value, small)
		}
	}
	again, err := d.DataKey(t.Context())
	check(t, err)
	if !bytes.Equal(again, key) {
		t.Error("the data key depends on the pod log")
	}
	if n := loaded(t, m); n > 3 {
		t.Errorf("%d objects and sessions are left", n)
	}
}

// A register that cannot be had gives no values and says so.
func registerRefuses(t *testing.T, m *attesttest.TPM) {
	d, err := tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: t.TempDir()})
	check(t, err)
	r := d.Register()
	before, _, err := r.Values(t.Context())
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Extend(ctx, [32]byte{1}, [48]byte{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: got %v", err)
	}
	if small, large, err := r.Values(ctx); !errors.Is(err, context.Canceled) || small != nil || large != nil {
		t.Errorf("given up: got %x, %x, %v", small, large, err)
	}
	after, _, err := r.Values(t.Context())
	check(t, err)
	if !bytes.Equal(before, after) {
		t.Error("an extension that was given up came through")
	}
	check(t, d.Close())
	if err := r.Extend(t.Context(), [32]byte{1}, [48]byte{1}); err == nil {
		t.Error("a closed TPM extends")
	}
	if small, _, err := r.Values(t.Context()); err == nil || small != nil {
		t.Error("a closed TPM has values")
	}
}

// A reset begins anew: both banks are zeros.
func registerReset(t *testing.T, m *attesttest.TPM, d *tpm.Device) {
	check(t, d.Register().Extend(t.Context(), [32]byte{1}, [48]byte{1}))
	m.Restart(t)
	small, large, err := d.Register().Values(t.Context())
	check(t, err)
	if !bytes.Equal(small, make([]byte, 32)) || !bytes.Equal(large, make([]byte, 48)) {
		t.Errorf("got %x and %x", small, large)
	}
}
