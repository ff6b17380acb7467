package tpm

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"apocryph/attest"
	"apocryph/attest/tpmtemplate"
	"apocryph/proto/status"
)

// identity is what stays the same as long as the TPM's endorsement seed does.
type identity struct {
	kind   tpmtemplate.EK
	attest attest.TPMIdentity
	akName []byte
}

// Identity returns the endorsement key's certificate chain and public area and
// the attestation key's public area. The first endorsement key of
// [tpmtemplate.EKs] that has a certificate is used. None at all is unavailable,
// reason "tpm.no_ek_certificate".
func (d *Device) Identity(ctx context.Context) (attest.TPMIdentity, error) {
	var out attest.TPMIdentity
	err := d.do(ctx, "reading the TPM's identity", func(t transport.TPM) error {
		id, err := d.identify(t)
		if err != nil {
			return err
		}
		out = id.attest
		return nil
	})
	return out, err
}

// Bound returns the attestation key's public area alone, marked as bound: for a
// machine whose reports name the key, and which needs no endorsement key then.
func (d *Device) Bound(ctx context.Context) (attest.TPMIdentity, error) {
	out := attest.TPMIdentity{Bound: true}
	err := d.do(ctx, "reading the attestation key", func(t transport.TPM) error {
		ak, err := d.loadAK(t)
		if err != nil {
			return err
		}
		out.AKPublic = bytes.Clone(ak.public)
		return nil
	})
	return out, err
}

// AKName is the attestation key's name, 34 bytes.
func (d *Device) AKName(ctx context.Context) ([]byte, error) {
	var name []byte
	err := d.do(ctx, "naming the attestation key", func(t transport.TPM) error {
		ak, err := d.loadAK(t)
		if err != nil {
			return err
		}
		name = bytes.Clone(ak.name.Buffer)
		return nil
	})
	return name, err
}

func (d *Device) identify(t transport.TPM) (*identity, error) {
	if d.id != nil {
		return d.id, nil
	}
	ak, err := d.loadAK(t)
	if err != nil {
		return nil, err
	}
	var reasons []error
	for _, kind := range tpmtemplate.EKs() {
		der, err := readNV(t, kind.CertificateIndex)
		if err != nil {
			reasons = append(reasons, fmt.Errorf("%s: %w", kind.Name, err))
			continue
		}
		chain, ek, err := d.certifiedEK(t, kind, der)
		if err != nil {
			reasons = append(reasons, fmt.Errorf("%s: %w", kind.Name, err))
			continue
		}
		above, err := readChain(t)
		if err != nil {
			return nil, err
		}
		for _, c := range slices.Concat(above, d.cfg.EKChain) {
			if len(chain) < attest.MaxCertificates {
				chain = append(chain, c)
			}
		}
		d.ek = ek
		d.id = &identity{
			kind:   kind,
			attest: attest.TPMIdentity{EKCertificates: chain, EKPublic: ek.public, AKPublic: ak.public},
			akName: ak.name.Buffer,
		}
		return d.id, nil
	}
	return nil, status.Wrap(errors.Join(reasons...), status.Unavailable, "tpm.no_ek_certificate",
		"the TPM has no certificate for an endorsement key of a known kind (ECC P-256, ECC P-384, RSA 2048)").
		WithHint("a verifier cannot know whose TPM it is; for an emulator, make it with swtpm_setup --create-ek-cert")
}

// certifiedEK returns the certificate without padding, and the key that it
// certifies.
func (d *Device) certifiedEK(t transport.TPM, kind tpmtemplate.EK, der []byte) ([][]byte, *loadedKey, error) {
	certs := splitDER(der)
	if len(certs) == 0 {
		return nil, nil, errors.New("the certificate's index holds none")
	}
	cert, err := x509.ParseCertificate(certs[0])
	if err != nil {
		return nil, nil, err
	}
	matches := func(k *loadedKey) bool {
		_, pub, err := tpmtemplate.ParseEK(k.public)
		return err == nil && tpmtemplate.SameKey(pub, cert.PublicKey)
	}
	ek, err := loadEK(t, kind, matches)
	if err != nil {
		return nil, nil, err
	}
	return certs[:1], ek, nil
}

// loadEK finds the persisted key or makes it again from its template.
func loadEK(t transport.TPM, kind tpmtemplate.EK, matches func(*loadedKey) bool) (*loadedKey, error) {
	if kind.Persistent != 0 {
		r, err := tpm2.ReadPublic{ObjectHandle: kind.Persistent}.Execute(t)
		if err == nil {
			k := &loadedKey{handle: kind.Persistent, name: r.Name, public: r.OutPublic.Bytes(), persistent: true}
			if matches(k) {
				return k, nil
			}
		}
	}
	k, err := createPrimary(t, tpm2.TPMRHEndorsement, kind.Public)
	if err != nil {
		return nil, err
	}
	if !matches(k) {
		_, err := tpm2.FlushContext{FlushHandle: k.handle}.Execute(t)
		return nil, errors.Join(errors.New("the certificate is for another key than the template's"), err)
	}
	return k, nil
}

// endorsement returns the loaded endorsement key.
func (d *Device) endorsement(t transport.TPM) (*loadedKey, error) {
	id, err := d.identify(t)
	if err != nil || d.ek != nil {
		return d.ek, err
	}
	d.ek, err = loadEK(t, id.kind, func(k *loadedKey) bool { return bytes.Equal(k.public, id.attest.EKPublic) })
	return d.ek, err
}

// loadAK makes the attestation key, which needs no storage: it follows from the
// endorsement seed and the template.
func (d *Device) loadAK(t transport.TPM) (*loadedKey, error) {
	if d.ak != nil {
		return d.ak, nil
	}
	ak, err := createPrimary(t, tpm2.TPMRHEndorsement, tpmtemplate.AK())
	if err != nil {
		return nil, fmt.Errorf("making attestation key: %w", err)
	}
	d.ak = ak
	return ak, nil
}

func createPrimary(t transport.TPM, hierarchy tpm2.TPMHandle, template tpm2.TPMTPublic) (*loadedKey, error) {
	r, err := tpm2.CreatePrimary{PrimaryHandle: hierarchy, InPublic: tpm2.New2B(template)}.Execute(t)
	if err != nil {
		return nil, err
	}
	return &loadedKey{handle: r.ObjectHandle, name: r.Name, public: r.OutPublic.Bytes()}, nil
}
