package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"apocryph/attest"
	"apocryph/proto/status"
)

const (
	// readAtOnce is how many registers one PCR_Read returns (TPM 2.0 Part 2, 10.9.7).
	readAtOnce = 8
	// quoteTries is for registers that are extended while a quote is made.
	quoteTries = 5
)

// Activate lets the TPM decrypt the secret of an activation. It does so only
// for this TPM's endorsement key and the attestation key of [Device.Identity];
// anything else is invalid_argument, reason "tpm.activation".
func (d *Device) Activate(ctx context.Context, act attest.Activation) ([]byte, error) {
	if err := act.Check(); err != nil {
		return nil, err
	}
	var secret []byte
	err := d.do(ctx, "activating a credential", func(t transport.TPM) error {
		return d.fresh(t, func() error {
			ek, err := d.endorsement(t)
			if err != nil {
				return err
			}
			ak, err := d.loadAK(t)
			if err != nil {
				return err
			}
			auth, end, err := ekAuth(t, ek)
			if err != nil {
				return err
			}
			defer end()
			r, err := tpm2.ActivateCredential{
				ActivateHandle: tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(nil)},
				KeyHandle:      tpm2.AuthHandle{Handle: ek.handle, Name: ek.name, Auth: auth},
				CredentialBlob: tpm2.TPM2BIDObject{Buffer: act.CredentialBlob},
				Secret:         tpm2.TPM2BEncryptedSecret{Buffer: act.EncryptedSecret},
			}.Execute(t)
			if err != nil {
				return refusedActivation(err)
			}
			secret = r.CertInfo.Buffer
			return nil
		})
	})
	return secret, err
}

// ekAuth authorises the use of an endorsement key: with its empty password
// where the template allows that, by the endorsement hierarchy's otherwise.
func ekAuth(t transport.TPM, ek *loadedKey) (tpm2.Session, func(), error) {
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](ek.public)
	if err != nil {
		return nil, nil, err
	}
	if public.ObjectAttributes.UserWithAuth {
		return tpm2.PasswordAuth(nil), func() {}, nil
	}
	session, end, err := tpm2.PolicySession(t, tpm2.TPMAlgSHA256, 16)
	if err != nil {
		return nil, nil, err
	}
	_, err = tpm2.PolicySecret{
		AuthHandle: tpm2.TPMRHEndorsement, PolicySession: session.Handle(), NonceTPM: session.NonceTPM(),
	}.Execute(t)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	// A session that served its command is gone already.
	return session, func() { _ = end() }, nil
}

// refusedActivation tells a credential that is not for this TPM from a TPM that
// does not answer. The TPM's own code says which key did not fit and is withheld.
func refusedActivation(err error) error {
	var rc tpm2.TPMRC
	if !errors.As(err, &rc) || lost(err) {
		return err
	}
	return status.Wrap(err, status.InvalidArgument, "tpm.activation", "the credential is not for this TPM's keys")
}

// Quote returns a quote over the claims and the given registers of the SHA-256
// bank, ascending, without a proof of activation.
func (d *Device) Quote(ctx context.Context, claims []byte, pcrs []uint32) (*attest.TPMQuote, error) {
	if len(pcrs) == 0 || !slices.IsSorted(pcrs) || pcrs[len(pcrs)-1] >= attest.MaxPCRs {
		return nil, status.New(status.InvalidArgument, "tpm.pcrs", "registers: got %v, want ascending numbers below %d", pcrs, attest.MaxPCRs)
	}
	binding := attest.QualifyingData(claims)
	var out *attest.TPMQuote
	err := d.do(ctx, "quoting", func(t transport.TPM) error {
		return d.fresh(t, func() error {
			for range quoteTries {
				q, ok, err := d.quote(t, binding, pcrs)
				if err != nil {
					return err
				}
				if ok {
					out = q
					return nil
				}
			}
			return status.New(status.Unavailable, "tpm.registers_moving", "the registers changed during each of %d quotes", quoteTries)
		})
	})
	return out, err
}

// quote reports false where a register was extended between reading and quoting.
func (d *Device) quote(t transport.TPM, binding [32]byte, pcrs []uint32) (*attest.TPMQuote, bool, error) {
	ak, err := d.loadAK(t)
	if err != nil {
		return nil, false, err
	}
	values, err := readPCRs(t, pcrs)
	if err != nil {
		return nil, false, err
	}
	r, err := tpm2.Quote{
		SignHandle:     tpm2.AuthHandle{Handle: ak.handle, Name: ak.name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: binding[:]},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		PCRSelect:      selection(pcrs),
	}.Execute(t)
	if err != nil {
		return nil, false, err
	}
	quoted, err := r.Quoted.Contents()
	if err != nil {
		return nil, false, err
	}
	if !bytes.Equal(quoted.QualifiedSigner.Buffer, qualifiedName(ak)) {
		// The TPM was reset and another object has the attestation key's handle.
		return nil, false, errStale
	}
	info, err := quoted.Attested.Quote()
	if err != nil {
		return nil, false, err
	}
	h := sha256.New()
	for _, v := range values {
		h.Write(v.Value)
	}
	return &attest.TPMQuote{
		Quoted: r.Quoted.Bytes(), Signature: tpm2.Marshal(r.Signature), PCRs: values,
	}, bytes.Equal(h.Sum(nil), info.PCRDigest.Buffer), nil
}

// Attest returns a quote over the claims and [tpmtemplate.QuotePCRs], with the
// boot's event log where there is one. The claims
// must name the attestation key ([Device.AKName]). It is evidence once the
// secret that [Device.Activate] returned is proven with [attest.ProveActivation].
func (d *Device) Attest(ctx context.Context, claims []byte) (attest.Evidence, error) {
	q, err := d.Quote(ctx, claims, quotePCRs())
	return attest.Evidence{Type: attest.TPM2, TPM: q, BootLog: d.bootLog}, err
}

var errStale = errors.New("the TPM was reset")

// lost reports whether an error means that a loaded object is no more, as after
// a reset of an emulator.
func lost(err error) bool {
	return errors.Is(err, errStale) || errors.Is(err, tpm2.TPMRCHandle) ||
		errors.Is(err, tpm2.TPMRCReferenceH0) || errors.Is(err, tpm2.TPMRCReferenceH1)
}

// fresh runs fn again, once, with newly loaded keys where those that were
// loaded are lost.
func (d *Device) fresh(t transport.TPM, fn func() error) error {
	err := fn()
	if !lost(err) {
		return err
	}
	// Handles that are lost need no flush, and one that is another's now must
	// not get one.
	d.ak, d.ek = nil, nil
	if err := fn(); err != nil {
		return fmt.Errorf("loading keys again: %w", err)
	}
	return nil
}

// qualifiedName is the name of a primary object together with its hierarchy's
// (TPM 2.0 Part 1, 26.5).
func qualifiedName(k *loadedKey) []byte {
	h := sha256.New()
	h.Write(tpm2.HandleName(tpm2.TPMRHEndorsement).Buffer)
	h.Write(k.name.Buffer)
	return h.Sum(bytes.Clone(k.name.Buffer[:2]))
}

func selection(pcrs []uint32) tpm2.TPMLPCRSelection {
	var numbers []uint
	for _, p := range pcrs {
		numbers = append(numbers, uint(p))
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{
		Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(numbers...),
	}}}
}

func readPCRs(t transport.TPM, pcrs []uint32) ([]attest.PCR, error) {
	var out []attest.PCR
	for part := range slices.Chunk(pcrs, readAtOnce) {
		r, err := tpm2.PCRRead{PCRSelectionIn: selection(part)}.Execute(t)
		if err != nil {
			return nil, err
		}
		if len(r.PCRValues.Digests) != len(part) {
			return nil, status.New(status.Unavailable, "tpm.no_sha256_bank", "the TPM returned %d of %d registers of its SHA-256 bank", len(r.PCRValues.Digests), len(part)).
				WithHint("enable the SHA-256 bank in the firmware's setup")
		}
		for i, v := range r.PCRValues.Digests {
			out = append(out, attest.PCR{Bank: "sha256", Index: part[i], Value: v.Buffer})
		}
	}
	return out, nil
}
