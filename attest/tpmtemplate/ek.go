package tpmtemplate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/binary"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// EK is one kind of endorsement key.
type EK struct {
	// Name is for people: "ECC P-256".
	Name string
	// CertificateIndex is the NV index of its certificate (EK Credential Profile 2.2.1.4).
	CertificateIndex tpm2.TPMHandle
	// Persistent is where manufacturers that persist the key put it (TCG
	// Provisioning Guidance, 7.8, and swtpm); 0 where there is no custom.
	Persistent tpm2.TPMHandle
	// Public is the template.
	Public tpm2.TPMTPublic
}

// EKs returns the kinds in the order of preference: an elliptic curve key
// activates a credential many times faster than an RSA key. The caller owns them.
func EKs() []EK {
	return []EK{
		{Name: "ECC P-256", CertificateIndex: 0x01c0000a, Public: tpm2.ECCEKTemplate},
		{Name: "ECC P-384", CertificateIndex: 0x01c00016, Persistent: 0x81010016, Public: eccP384()},
		{Name: "RSA 2048", CertificateIndex: 0x01c00002, Persistent: 0x81010001, Public: tpm2.RSAEKTemplate},
	}
}

// ParseEK takes a marshalled TPMT_PUBLIC that equals one of [EKs] in everything
// but its public key, and returns the area and its key: *ecdsa.PublicKey or
// *rsa.PublicKey.
func ParseEK(area []byte) (*tpm2.TPMTPublic, crypto.PublicKey, error) {
	pub, err := unmarshal(area)
	if err != nil {
		return nil, nil, err
	}
	for _, ek := range EKs() {
		want := ek.Public
		want.Unique = pub.Unique
		if want.Type != pub.Type || !same(&want, area) {
			continue
		}
		key, err := ekKey(pub)
		if err != nil {
			return nil, nil, fmt.Errorf("reading endorsement key: %w", err)
		}
		return pub, key, nil
	}
	return nil, nil, fmt.Errorf("the endorsement key's area (%s) is none of the templates L-1 (RSA 2048), L-2 (ECC P-256) and H-3 (ECC P-384)", describe(pub))
}

func ekKey(pub *tpm2.TPMTPublic) (crypto.PublicKey, error) {
	if pub.Type == tpm2.TPMAlgECC {
		parms, err := pub.Parameters.ECCDetail()
		if err != nil {
			return nil, err
		}
		if parms.CurveID == tpm2.TPMECCNistP384 {
			return eccKey(pub, elliptic.P384())
		}
		return eccKey(pub, elliptic.P256())
	}
	key, err := tpm2.Pub(*pub)
	if err != nil {
		return nil, err
	}
	r, ok := key.(*rsa.PublicKey)
	if !ok || r.N.BitLen() != 2048 {
		return nil, fmt.Errorf("the RSA modulus is not of 2048 bits")
	}
	return r, nil
}

// SameKey reports whether a certificate's key is the area's.
func SameKey(a, b crypto.PublicKey) bool {
	switch a := a.(type) {
	case *ecdsa.PublicKey:
		return a.Equal(b)
	case *rsa.PublicKey:
		return a.Equal(b)
	}
	return false
}

// policyB is PolicyOR(PolicySecret(TPM_RH_ENDORSEMENT), PolicyAuthorizeNV) with
// SHA-384 (EK Credential Profile, B.6.3).
func policyB() []byte {
	return []byte{
		0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc,
		0xf5, 0xfd, 0x3a, 0x1a, 0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4,
		0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca, 0xcb, 0x47, 0xba, 0x09,
		0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
	}
}

func eccP384() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:    tpm2.TPMAlgECC,
		NameAlg: tpm2.TPMAlgSHA384,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, AdminWithPolicy: true, Restricted: true, Decrypt: true,
		},
		AuthPolicy: tpm2.TPM2BDigest{Buffer: policyB()},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{
				Algorithm: tpm2.TPMAlgAES,
				KeyBits:   tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(256)),
				Mode:      tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB),
			},
			CurveID: tpm2.TPMECCNistP384,
		}),
		Unique: point(nil, nil),
	}
}

// attributes is the TPMA_OBJECT's number (TPM 2.0 Part 2, 8.3), for messages.
func attributes(a tpm2.TPMAObject) uint32 { return binary.BigEndian.Uint32(tpm2.Marshal(a)) }
