package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// The names of Intel's certificates (Intel SGX PCK Certificate and CRL Profile
// Specification, 1.3). They keep a key for one use from serving another.
const (
	nameIntelRoot       = "Intel SGX Root CA"
	nameIntelPlatformCA = "Intel SGX PCK Platform CA"
	nameIntelProcCA     = "Intel SGX PCK Processor CA"
	nameIntelPCK        = "Intel SGX PCK Certificate"
	nameIntelTCB        = "Intel SGX TCB Signing"
)

// pckChain is a platform's certificates after they verified.
type pckChain struct {
	leaf, ca, root *x509.Certificate
	sgx            sgxExtension
}

// sgxExtension is what a PCK certificate says of its platform (profile
// specification, 1.3.5).
type sgxExtension struct {
	ppid   []byte
	svns   [16]byte
	pceSVN uint16
	pceID  [2]byte
	fmspc  [6]byte
}

// platform is the SHA-256 of the PPID, which stays the same over microcode
// updates that exchange the PCK. Where the certificate has none but zeros it is
// that of the PCK itself: all such machines would be one otherwise.
func (c *pckChain) platform() [sha256.Size]byte {
	if zeros(c.sgx.ppid) {
		return sha256.Sum256(c.leaf.RawSubjectPublicKeyInfo)
	}
	return sha256.Sum256(c.sgx.ppid)
}

// verifyPCKChain takes the three certificates of a quote. The last must be the
// trusted root to the byte.
func verifyPCKChain(text []byte, root *x509.Certificate, now time.Time) (*pckChain, *refusal) {
	refuse := func(got, want string, cause error) (*pckChain, *refusal) {
		return nil, &refusal{codeChain, got, want, cause}
	}
	ders, err := parsePCKChain(text)
	if err != nil {
		return refuse("a chain that cannot be read", "3 certificates: platform, issuer and root", err)
	}
	if !bytes.Equal(ders[2], root.Raw) {
		sum := sha256.Sum256(ders[2])
		return nil, &refusal{codeUntrustedRoot, "root sha256:" + short(sum[:]), "Intel's", nil}
	}
	leaf, leafErr := parseCertificate(ders[0])
	ca, caErr := parseCertificate(ders[1])
	if err := errors.Join(leafErr, caErr); err != nil {
		return refuse("a certificate that cannot be read", "the platform's and its issuer's", err)
	}
	if n := ca.Subject.CommonName; n != nameIntelPlatformCA && n != nameIntelProcCA || leaf.Subject.CommonName != nameIntelPCK {
		return refuse("certificates of other names", "a platform's and its issuer's", nil)
	}
	if err := verifyIntel(root, now, leaf, ca); err != nil {
		return refuse("a certificate that the root does not vouch for now", "a chain to Intel's root", err)
	}
	sgx, err := parseSGXExtension(leaf)
	if err != nil {
		return refuse("a certificate that does not describe a platform", "Intel's extension", err)
	}
	return &pckChain{leaf: leaf, ca: ca, root: root, sgx: sgx}, nil
}

// verifyIntel verifies a chain, leaf first and without the root, and that it has
// no shorter way.
func verifyIntel(root *x509.Certificate, now time.Time, certs ...*x509.Certificate) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for i, c := range certs {
		key, ok := c.PublicKey.(*ecdsa.PublicKey)
		switch {
		case !ok || key.Curve != elliptic.P256() || c.SignatureAlgorithm != x509.ECDSAWithSHA256:
			return errors.New("a key or signature that is not on P-256")
		case c.IsCA != (i > 0):
			return errors.New("an issuer in the wrong place")
		}
		if i > 0 {
			intermediates.AddCert(c)
		}
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return err
	}
	if len(chains) != 1 || len(chains[0]) != len(certs)+1 {
		return errNotOfThisForm
	}
	return nil
}

// parsePCKChain reads exactly three PEM blocks in the one form that encoders give
// them: nothing signs this text, and the decoder passes over a good deal. Some
// quoting libraries end it with a NUL.
func parsePCKChain(text []byte) (ders [][]byte, err error) {
	rest := bytes.TrimRight(text, "\x00\r\n")
	form := make([]byte, 0, len(text)+1)
	for len(rest) > 0 {
		// Decode passes over what is before a block.
		if len(ders) == chainLength || !bytes.HasPrefix(rest, []byte("-----BEGIN CERTIFICATE-----")) {
			return nil, errNotOfThisForm
		}
		block, after := pem.Decode(rest)
		if block == nil || len(block.Headers) > 0 {
			return nil, errNotOfThisForm
		}
		form = append(form, pem.EncodeToMemory(block)...)
		ders, rest = append(ders, block.Bytes), bytes.TrimLeft(after, "\r\n")
	}
	if !bytes.Equal(bytes.TrimRight(form, "\n"), bytes.TrimRight(text, "\x00\r\n")) {
		return nil, errNotOfThisForm
	}
	if n := len(ders); n != chainLength {
		return nil, fmt.Errorf("%d certificates", n)
	}
	return ders, nil
}

func oidSGX(arcs ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}, arcs...)
}

// sgxField is one pair of Intel's extension.
type sgxField struct {
	ID    asn1.ObjectIdentifier
	Value asn1.RawValue
}

// parseSGXExtension demands each field that is used exactly once.
func parseSGXExtension(leaf *x509.Certificate) (x sgxExtension, err error) {
	var der []byte
	for _, e := range leaf.Extensions {
		if e.Id.Equal(oidSGX()) {
			// The standard library refuses a second extension of the same name.
			der = e.Value
		}
	}
	fields, err := sgxFields(der)
	if err != nil {
		return x, err
	}
	tcbField, ok := fields[oidSGX(2).String()]
	if !ok {
		return x, errors.New("no TCB")
	}
	tcb, err := sgxFields(tcbField.FullBytes)
	if err != nil {
		return x, err
	}
	octets := func(arc int, out []byte) {
		var b []byte
		if e := sgxValue(fields, &b, arc); e != nil || len(b) != len(out) {
			err = errors.Join(err, e, fmt.Errorf("field %d has %d bytes", arc, len(b)))
		}
		copy(out, b)
	}
	number := func(arc, most int) int {
		var n int
		if e := sgxValue(tcb, &n, 2, arc); e != nil || n < 0 || n > most {
			err = errors.Join(err, e, fmt.Errorf("TCB field %d is %d", arc, n))
			return 0
		}
		return n
	}
	x.ppid = make([]byte, 16)
	octets(1, x.ppid)
	octets(3, x.pceID[:])
	octets(4, x.fmspc[:])
	for i := range x.svns {
		x.svns[i] = byte(number(i+1, 0xff))
	}
	x.pceSVN = uint16(number(17, 0xffff))
	return x, err
}

func sgxFields(der []byte) (map[string]asn1.RawValue, error) {
	var list []sgxField
	rest, err := asn1.Unmarshal(der, &list)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, errNotOfThisForm
	}
	fields := make(map[string]asn1.RawValue, len(list))
	for _, f := range list {
		id := f.ID.String()
		if _, twice := fields[id]; twice {
			return nil, errNotOfThisForm
		}
		fields[id] = f.Value
	}
	return fields, nil
}

func sgxValue(fields map[string]asn1.RawValue, out any, arcs ...int) error {
	v, ok := fields[oidSGX(arcs...).String()]
	if !ok {
		return errors.New("a field is missing")
	}
	rest, err := asn1.Unmarshal(v.FullBytes, out)
	if err == nil && len(rest) > 0 {
		err = errNotOfThisForm
	}
	return err
}
