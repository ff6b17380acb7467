package tpm

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"apocryph/attest/device/keyfile"
	"apocryph/attest/tpmtemplate"
	"apocryph/proto/status"
)

const (
	keyFile = "datakey.tpm"
	keySize = 32
	// maxSealed is in bytes (MAX_SYM_DATA, TPM 2.0 Part 2, A.2).
	maxSealed = 128
	// sealTag starts a sealed blob of this format: the tag, then a TPM2B_PUBLIC
	// and a TPM2B_PRIVATE.
	sealTag = "apocryph/tpm-seal/1\x00"
	// nonceSize is in bytes, the least that sessions allow.
	nonceSize = 16
	// sessionKeyBits is for what travels to and from the TPM: a bus can be probed.
	sessionKeyBits = 128
)

// SealKey encrypts up to 128 bytes so that only this TPM opens them, and only
// while [tpmtemplate.SealPCRs] are as they are now.
func (d *Device) SealKey(ctx context.Context, key []byte) ([]byte, error) {
	if len(key) == 0 || len(key) > maxSealed {
		return nil, fmt.Errorf("sealing: got %d bytes, want 1 to %d", len(key), maxSealed)
	}
	var blob []byte
	err := d.do(ctx, "sealing", func(t transport.TPM) error {
		return d.withStorage(t, func(root *loadedKey, area *tpm2.TPMTPublic) error {
			policy, err := bootPolicy(t)
			if err != nil {
				return err
			}
			r, err := tpm2.Create{
				ParentHandle: tpm2.AuthHandle{
					Handle: root.handle, Name: root.name,
					Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, nonceSize, tpm2.Salted(root.handle, *area), tpm2.AESEncryption(sessionKeyBits, tpm2.EncryptIn)),
				},
				InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
					Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key}),
				}},
				InPublic: tpm2.New2B(tpm2.TPMTPublic{
					Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
					ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true},
					AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
				}),
			}.Execute(t)
			if err != nil {
				return err
			}
			blob = append([]byte(sealTag), tpm2.Marshal(r.OutPublic)...)
			blob = append(blob, tpm2.Marshal(r.OutPrivate)...)
			return nil
		})
	})
	return blob, err
}

// UnsealKey opens what [Device.SealKey] made. Other boot registers than then
// are untrusted, reason "tpm.sealed_state_changed"; a blob of another TPM, of an
// owner before this one or a damaged one is untrusted, reason "tpm.sealed_elsewhere".
func (d *Device) UnsealKey(ctx context.Context, blob []byte) ([]byte, error) {
	public, private, err := splitBlob(blob)
	if err != nil {
		return nil, err
	}
	var key []byte
	err = d.do(ctx, "unsealing", func(t transport.TPM) error {
		return d.withStorage(t, func(root *loadedKey, area *tpm2.TPMTPublic) error {
			loaded, err := tpm2.Load{
				ParentHandle: tpm2.AuthHandle{Handle: root.handle, Name: root.name, Auth: tpm2.PasswordAuth(nil)},
				InPublic:     tpm2.BytesAs2B[tpm2.TPMTPublic](public),
				InPrivate:    tpm2.TPM2BPrivate{Buffer: private},
			}.Execute(t)
			if err != nil {
				return foreignBlob(err)
			}
			defer func() { _, _ = tpm2.FlushContext{FlushHandle: loaded.ObjectHandle}.Execute(t) }()
			r, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{
				Handle: loaded.ObjectHandle, Name: loaded.Name,
				Auth: tpm2.Policy(tpm2.TPMAlgSHA256, nonceSize, func(t transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
					_, err := tpm2.PolicyPCR{PolicySession: session, Pcrs: selection(tpmtemplate.SealPCRs())}.Execute(t)
					return err
				}, tpm2.Salted(root.handle, *area), tpm2.AESEncryption(sessionKeyBits, tpm2.EncryptOut)),
			}}.Execute(t)
			if errors.Is(err, tpm2.TPMRCPolicyFail) || errors.Is(err, tpm2.TPMRCPCRChanged) {
				return status.Wrap(err, status.Untrusted, "tpm.sealed_state_changed", "the machine booted other software than when the key was sealed (registers %v)", tpmtemplate.SealPCRs()).
					WithHint("boot what it booted before to open it")
			}
			if err != nil {
				return err
			}
			key = r.OutData.Buffer
			return nil
		})
	})
	return key, err
}

// DataKey returns the key for data at rest, 32 bytes, sealed in the state
// directory. A machine that booted other software than ever before, and a TPM
// that sealed none of the keys that are kept, get a new one; the others stay for
// the states that they belong to. A TPM that does not answer is an error.
func (d *Device) DataKey(ctx context.Context) ([]byte, error) {
	if _, err := os.Stat(d.cfg.StateDir); err != nil {
		return nil, fmt.Errorf("reading data key: %w", err)
	}
	key, err := keyfile.Ring{Dir: d.cfg.StateDir, Name: keyFile}.Open(
		func() (blob, key []byte, err error) {
			key = make([]byte, keySize)
			if _, err = rand.Read(key); err != nil {
				return nil, nil, err
			}
			blob, err = d.SealKey(ctx, key)
			return blob, key, err
		},
		func(blob []byte) ([]byte, error) {
			key, err := d.UnsealKey(ctx, blob)
			if status.CodeOf(err) == status.Untrusted {
				return nil, errors.Join(keyfile.ErrOther, err)
			}
			return key, err
		})
	if err != nil {
		return nil, fmt.Errorf("reading data key: %w", err)
	}
	return key, nil
}

// withStorage lends fn the storage root key. The keys that are otherwise kept
// loaded go first: a TPM without resource manager has room for three.
func (d *Device) withStorage(t transport.TPM, fn func(*loadedKey, *tpm2.TPMTPublic) error) (err error) {
	if err := d.unload(t); err != nil && !lost(err) {
		return err
	}
	root, err := createPrimary(t, tpm2.TPMRHOwner, tpm2.ECCSRKTemplate)
	if err != nil {
		return fmt.Errorf("making storage root key: %w", err)
	}
	defer func() {
		_, flushErr := tpm2.FlushContext{FlushHandle: root.handle}.Execute(t)
		err = errors.Join(err, flushErr)
	}()
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](root.public)
	if err != nil {
		return fmt.Errorf("reading storage root key: %w", err)
	}
	return fn(root, area)
}

// bootPolicy is the policy that the registers are as they are now.
func bootPolicy(t transport.TPM) ([]byte, error) {
	values, err := readPCRs(t, tpmtemplate.SealPCRs())
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	for _, v := range values {
		h.Write(v.Value)
	}
	policy, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		return nil, err
	}
	err = tpm2.PolicyPCR{Pcrs: selection(tpmtemplate.SealPCRs()), PcrDigest: tpm2.TPM2BDigest{Buffer: h.Sum(nil)}}.Update(policy)
	return policy.Hash().Digest, err
}

func foreignBlob(err error) error {
	var rc tpm2.TPMRC
	if !errors.As(err, &rc) || rc.IsWarning() {
		return err
	}
	return status.Wrap(err, status.Untrusted, "tpm.sealed_elsewhere", "the key was not sealed by this TPM, or is damaged").
		WithHint("a key that was sealed by another TPM, or before the TPM was cleared, is lost")
}

// splitBlob takes the two sized buffers of a sealed blob apart.
func splitBlob(blob []byte) (public, private []byte, err error) {
	rest, ok := []byte(nil), len(blob) >= len(sealTag) && string(blob[:len(sealTag)]) == sealTag
	if ok {
		rest = blob[len(sealTag):]
		public, rest, ok = sized(rest)
	}
	if ok {
		private, rest, ok = sized(rest)
	}
	if !ok || len(rest) != 0 {
		return nil, nil, status.New(status.Untrusted, "tpm.sealed_elsewhere", "the sealed key is not of this format or damaged")
	}
	return public, private, nil
}

func sized(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}
