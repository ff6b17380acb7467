package tpmtemplate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// QuotePCRs are the registers that every quote covers, in the SHA-256 bank:
// 0 to 9 and 11 to 15, ascending. Register 10 is left out because Linux extends
// it whenever it measures a file, so that it says nothing without the kernel's
// own log and changes while a quote is made. 16 and 23 can be reset by anyone
// (PC Client Platform TPM Profile, 3.8), 17 to 22 belong to late launch.
func QuotePCRs() []uint32 { return []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15} }

// SealPCRs are the registers that the data key is sealed to: firmware, option
// ROMs, boot loader and secure boot state. The pod log's register is never one
// of them, since the key would not open again after the first pod.
func SealPCRs() []uint32 { return []uint32{0, 2, 4, 7} }

// AK returns the attestation key's template: a restricted ECDSA P-256 signing
// key, a primary of the endorsement hierarchy. The caller owns it.
func AK() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, NoDA: true, Restricted: true, SignEncrypt: true,
		},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{
				Scheme:  tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
			CurveID: tpm2.TPMECCNistP256,
		}),
		Unique: point(nil, nil),
	}
}

// ParseAK takes a marshalled TPMT_PUBLIC that equals [AK] in everything but its
// public key, and returns that key and the area's name (34 bytes: the hash
// algorithm's number and the hash).
func ParseAK(area []byte) (*ecdsa.PublicKey, []byte, error) {
	pub, err := unmarshal(area)
	if err != nil {
		return nil, nil, err
	}
	want := AK()
	want.Unique = pub.Unique
	if !same(&want, area) {
		return nil, nil, fmt.Errorf("the attestation key's attributes (%s) are not those of the template (%s)",
			describe(pub), describe(&want))
	}
	key, err := eccKey(pub, elliptic.P256())
	if err != nil {
		return nil, nil, fmt.Errorf("reading attestation key: %w", err)
	}
	name, err := tpm2.ObjectName(pub)
	if err != nil {
		return nil, nil, fmt.Errorf("naming attestation key: %w", err)
	}
	return key, name.Buffer, nil
}

// unmarshal keeps the library's panics, if it has any, from a stranger's reach.
func unmarshal(area []byte) (pub *tpm2.TPMTPublic, err error) {
	defer func() {
		if recover() != nil {
			pub, err = nil, errors.New("the public area cannot be read")
		}
	}()
	return tpm2.Unmarshal[tpm2.TPMTPublic](area)
}

// same compares bytes, so that trailing or oddly encoded ones do not pass.
func same(want *tpm2.TPMTPublic, area []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return bytes.Equal(tpm2.Marshal(*want), area)
}

// eccKey takes coordinates of exactly the curve's length, on the curve.
func eccKey(pub *tpm2.TPMTPublic, curve elliptic.Curve) (*ecdsa.PublicKey, error) {
	p, err := pub.Unique.ECC()
	if err != nil {
		return nil, err
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(p.X.Buffer) != size || len(p.Y.Buffer) != size {
		return nil, fmt.Errorf("coordinates: got %d and %d bytes, want %d each", len(p.X.Buffer), len(p.Y.Buffer), size)
	}
	raw := append([]byte{4}, p.X.Buffer...)
	return ecdsa.ParseUncompressedPublicKey(curve, append(raw, p.Y.Buffer...))
}

func describe(pub *tpm2.TPMTPublic) string {
	return fmt.Sprintf("type 0x%04x, name hash 0x%04x, attributes 0x%08x", uint16(pub.Type), uint16(pub.NameAlg), attributes(pub.ObjectAttributes))
}

func point(x, y []byte) tpm2.TPMUPublicID {
	return tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: x}, Y: tpm2.TPM2BECCParameter{Buffer: y},
	})
}
