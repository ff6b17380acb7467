package soft

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
)

// The product that the device pretends to be: EPYC Milan, stepping B1.
const (
	productLine                                 = "Milan"
	productName                                 = "Milan-B1"
	milanFamily, milanModel, milanStepping      = 0x19, 0x01, 0x01
	blSPL, teeSPL, snpSPL, ucodeSPL             = 3, 0, 8, 115
	validity                                    = 7 * 365 * 24 * time.Hour
	askBits                                     = 2048
	pemCertificate, pemKey                      = "CERTIFICATE", "PRIVATE KEY"
	certificateCount                            = 3
	serialBits                             uint = 120
)

// identity is the device's key and its chain: VCEK, ASK, ARK.
type identity struct {
	key    *ecdsa.PrivateKey
	chain  [][]byte
	chipID []byte
	tcb    kds.TCBVersion
}

// newIdentity makes a CA, lets it certify one chip and forgets the CA's keys.
// The VCEK's certificate must be signed with RSA-PSS (57230, 3.2), so the ASK
// is RSA, of 2048 bits since it takes a tenth of the time and nothing rests on
// it. The root's algorithm is free.
func newIdentity(now time.Time) ([]byte, error) {
	arkKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making root key: %w", err)
	}
	askKey, err := rsa.GenerateKey(rand.Reader, askBits)
	if err != nil {
		return nil, fmt.Errorf("making signing key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making chip key: %w", err)
	}
	now = now.Add(-time.Hour)
	ark, err := certify(authority("ARK-"+productLine, now), nil, &arkKey.PublicKey, arkKey)
	if err != nil {
		return nil, fmt.Errorf("making root certificate: %w", err)
	}
	ask, err := certify(authority("SEV-"+productLine, now), ark, &askKey.PublicKey, arkKey)
	if err != nil {
		return nil, fmt.Errorf("making signing certificate: %w", err)
	}
	leaf, err := chipTemplate(now)
	if err != nil {
		return nil, fmt.Errorf("making chip certificate: %w", err)
	}
	vcek, err := certify(leaf, ask, &key.PublicKey, askKey)
	if err != nil {
		return nil, fmt.Errorf("making chip certificate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding chip key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der})
	for _, c := range []*x509.Certificate{vcek, ask, ark} {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: c.Raw})...)
	}
	return text, nil
}

func certify(template, parent *x509.Certificate, pub, signer any) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// name is AMD's, since the verifier of reports demands it; the common name says
// what the certificate is for. The serial number's place tells people.
func name(common string) pkix.Name {
	return pkix.Name{
		Country: []string{"US"}, Province: []string{"CA"}, Locality: []string{"Santa Clara"},
		Organization: []string{"Advanced Micro Devices"}, OrganizationalUnit: []string{"Engineering"},
		SerialNumber: "apocryph development, NOT SECURE", CommonName: common,
	}
}

func authority(common string, from time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject: name(common), NotBefore: from, NotAfter: from.Add(validity),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
}

// chipTemplate has the extensions of a VCEK (57230, table 8) and no others: the
// verifier refuses what it does not know.
func chipTemplate(from time.Time) (*x509.Certificate, error) {
	chipID := make([]byte, abi.ChipIDSize)
	if _, err := rand.Read(chipID); err != nil {
		return nil, err
	}
	product, err := asn1.MarshalWithParams(productName, "ia5")
	if err != nil {
		return nil, err
	}
	exts := []pkix.Extension{{Id: kds.OidProductName1, Value: product}, {Id: kds.OidHwid, Value: chipID}}
	for _, n := range []struct {
		id    asn1.ObjectIdentifier
		value int
	}{
		{kds.OidStructVersion, 1},
		{kds.OidBlSpl, blSPL},
		{kds.OidTeeSpl, teeSPL},
		{kds.OidSnpSpl, snpSPL},
		{kds.OidSpl4, 0},
		{kds.OidSpl5, 0},
		{kds.OidSpl6, 0},
		{kds.OidSpl7, 0},
		{kds.OidUcodeSpl, ucodeSPL},
	} {
		value, err := asn1.Marshal(n.value)
		if err != nil {
			return nil, err
		}
		exts = append(exts, pkix.Extension{Id: n.id, Value: value})
	}
	return &x509.Certificate{
		Subject: name("SEV-VCEK"), NotBefore: from, NotAfter: from.Add(validity),
		SignatureAlgorithm: x509.SHA384WithRSAPSS, ExtraExtensions: exts,
	}, nil
}

func parseIdentity(text []byte) (*identity, error) {
	id := &identity{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == pemCertificate {
			id.chain = append(id.chain, block.Bytes)
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		ec, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return nil, errors.New("the key is not an elliptic curve key")
		}
		id.key = ec
	}
	if id.key == nil || len(id.chain) != certificateCount {
		return nil, fmt.Errorf("%d certificates, want %d and a key", len(id.chain), certificateCount)
	}
	vcek, err := x509.ParseCertificate(id.chain[0])
	if err != nil {
		return nil, err
	}
	if !id.key.PublicKey.Equal(vcek.PublicKey) {
		return nil, errors.New("the key is not the certificate's")
	}
	exts, err := kds.VcekCertificateExtensions(vcek)
	if err != nil {
		return nil, err
	}
	id.chipID, id.tcb = exts.HWID, exts.TCBVersion
	return id, nil
}
