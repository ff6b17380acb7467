package tpm_test

import (
	"testing"

	"github.com/google/go-tpm/tpm2"

	"apocryph/attest/attesttest"
	"apocryph/attest/device/tpm"
	"apocryph/attest/tpmtemplate"
	"apocryph/proto/status"
)

// fallbacks changes a fresh TPM step by step: no persisted endorsement key, no
// certificate of the preferred kind, none at all. The first TPM stays as it is.
func fallbacks(t *testing.T, first *attesttest.TPM) {
	m := first.Sibling(t)
	raw := m.Open(t)
	evict := func(h tpm2.TPMHandle) {
		public, err := tpm2.ReadPublic{ObjectHandle: h}.Execute(raw)
		check(t, err)
		_, err = tpm2.EvictControl{
			Auth: tpm2.TPMRHOwner, ObjectHandle: &tpm2.NamedHandle{Handle: h, Name: public.Name}, PersistentHandle: h,
		}.Execute(raw)
		check(t, err)
	}
	kinds := tpmtemplate.EKs()
	p384, rsa := kinds[1], kinds[2]

	evict(p384.Persistent)
	d := open(t, m, t.TempDir())
	wantEK(t, d, m, tpm2.TPMAlgECC)
	check(t, d.Close())

	undefine(t, m, p384.CertificateIndex)
	d = open(t, m, t.TempDir())
	wantEK(t, d, m, tpm2.TPMAlgRSA)
	check(t, d.Close())

	evict(rsa.Persistent)
	d = open(t, m, t.TempDir())
	wantEK(t, d, m, tpm2.TPMAlgRSA)
	if _, err := d.DataKey(t.Context()); err != nil {
		t.Errorf("with both keys loaded: %v", err)
	}
	check(t, d.Close())

	undefine(t, m, rsa.CertificateIndex)
	d = open(t, m, t.TempDir())
	_, err := d.Identity(t.Context())
	wantReason(t, err, status.Unavailable, "tpm.no_ek_certificate")
	_, err = d.Quote(t.Context(), nil, []uint32{0})
	check(t, err)
}

// undefine removes an index with platform authorisation, which an emulator leaves empty.
func undefine(t *testing.T, m *attesttest.TPM, index tpm2.TPMHandle) {
	t.Helper()
	raw := m.Open(t)
	public, err := tpm2.NVReadPublic{NVIndex: index}.Execute(raw)
	check(t, err)
	_, err = tpm2.NVUndefineSpace{
		AuthHandle: tpm2.TPMRHPlatform, NVIndex: tpm2.NamedHandle{Handle: index, Name: public.NVName},
	}.Execute(raw)
	check(t, err)
}

func wantEK(t *testing.T, d *tpm.Device, m *attesttest.TPM, kind tpm2.TPMAlgID) {
	t.Helper()
	id, err := d.Identity(t.Context())
	check(t, err)
	public, _, err := tpmtemplate.ParseEK(id.EKPublic)
	check(t, err)
	if public.Type != kind {
		t.Errorf("got type 0x%04x, want 0x%04x", uint16(public.Type), uint16(kind))
	}
	appraise(t, d, m)
}
