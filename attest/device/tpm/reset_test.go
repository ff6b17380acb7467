package tpm_test

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"apocryph/attest/attesttest"
	"apocryph/attest/tpmtemplate"
)

// reset powers the TPM off and on beneath a device, puts other objects where
// its keys were, and breaks a seal for a while.
func reset(t *testing.T, m *attesttest.TPM) {
	dir := t.TempDir()
	d := open(t, m, dir)
	before := appraise(t, d, m)
	key, err := d.DataKey(t.Context())
	check(t, err)
	epoch, err := d.BootEpoch(t.Context())
	check(t, err)

	m.Restart(t)
	other := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}
	_, err = other.Execute(m.Open(t))
	check(t, err)
	after := appraise(t, d, m)
	if after.TPM.ResetCount <= before.TPM.ResetCount || !bytes.Equal(after.TPM.AKName, before.TPM.AKName) {
		t.Errorf("got resets %d then %d, names %x and %x", before.TPM.ResetCount, after.TPM.ResetCount, before.TPM.AKName, after.TPM.AKName)
	}
	now, err := d.BootEpoch(t.Context())
	check(t, err)
	if bytes.Equal(epoch, now) {
		t.Error("the boot epoch is the same after a reset")
	}
	got, err := d.DataKey(t.Context())
	check(t, err)
	if !bytes.Equal(got, key) {
		t.Error("the data key is another after a reset")
	}

	// The same handle holds a key that signs too.
	m.Restart(t)
	foreign := tpmtemplate.AK()
	foreign.ObjectAttributes.Restricted = false
	_, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(foreign)}.Execute(m.Open(t))
	check(t, err)
	appraise(t, d, m)

	// Another boot: the seal holds.
	m.Extend(t, 4, sha256.Sum256([]byte("another loader")))
	changed, err := d.DataKey(t.Context())
	check(t, err)
	same, err := d.DataKey(t.Context())
	check(t, err)
	if bytes.Equal(changed, key) || !bytes.Equal(changed, same) {
		t.Error("another state does not have one key of its own")
	}
	m.Restart(t)
	got, err = d.DataKey(t.Context())
	check(t, err)
	if !bytes.Equal(got, key) {
		t.Error("the data key is another after the boot before")
	}
	registerReset(t, m, d)
}
