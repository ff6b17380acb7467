package verify

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"apocryph/attest"
)

// maxRSABits bounds the work of one signature check: a certificate of the
// greatest size allowed could otherwise carry a modulus of 60,000 bits.
const maxRSABits = 8192

func oidEKCertificate() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 23, 133, 8, 1} }
func oidSubjectAltName() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 5, 29, 17}
}

// ekChain is a verified endorsement key certificate.
type ekChain struct {
	leaf *x509.Certificate
	root [32]byte
	// builtin is true where a compiled-in root vouches for it.
	builtin bool
}

// checkEKChain verifies an endorsement key's chain, leaf first, to a root that
// is compiled in, given, or carried and pinned.
func checkEKChain(s *steps, ders [][]byte, roots Roots, now time.Time) (*ekChain, error) {
	var carried []*x509.Certificate
	for i, der := range ders {
		c, err := parseCertificate(der)
		if err != nil {
			return nil, s.fail(codeEKChain, fmt.Sprintf("certificate %d that cannot be read", i), "X.509 in DER", err)
		}
		carried = append(carried, c)
	}
	leaf := carried[0]
	if err := prepareLeaf(leaf); err != nil {
		return nil, s.fail(codeEKChain, "a certificate that is not an endorsement key's", "extended key usage 2.23.133.8.1 and no CA", err)
	}
	pool, middle := x509.NewCertPool(), x509.NewCertPool()
	builtin := BuiltinEKRoots()
	for _, c := range slices.Concat(builtin, roots.EKRoots) {
		pool.AddCert(c)
	}
	for _, c := range carried {
		if slices.Contains(roots.EKRootFingerprints, sha256.Sum256(c.Raw)) {
			pool.AddCert(c)
		} else if c != leaf {
			middle.AddCert(c)
		}
	}
	for _, c := range roots.EKIntermediates {
		middle.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: middle, CurrentTime: now,
		// The usage was checked above; x509 does not know the TCG's.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, untrustedEK(s, carried, err)
	}
	root := chains[0][len(chains[0])-1]
	out := &ekChain{leaf: leaf, root: sha256.Sum256(root.Raw)}
	out.builtin = slices.ContainsFunc(builtin, root.Equal)
	s.anchor = attest.AnchorVTPMCA
	if out.builtin {
		s.anchor = attest.AnchorHardware
	}
	s.pass(codeEKChain, "root sha256:"+short(out.root[:]))
	return out, nil
}

// untrustedEK tells a chain that only lacks a trusted end from one that is broken.
func untrustedEK(s *steps, carried []*x509.Certificate, cause error) error {
	var unknown x509.UnknownAuthorityError
	if !errors.As(cause, &unknown) {
		return s.fail(codeEKChain, "a chain that does not verify", "a valid chain to a trusted root", cause)
	}
	last := carried[len(carried)-1]
	end := sha256.Sum256(last.Raw)
	return s.fail(codeUntrustedRoot, "EK chain that ends in sha256:"+short(end[:]), "a chain to a root that is compiled in or that the policy names", cause).
		WithHint("if you know this TPM's vendor to be the owner of that certificate, name it under ek_roots in the policy")
}

// prepareLeaf checks the usage and takes the subject alternative name off the
// list of what Verify does not understand. It is critical where the subject is
// empty and holds the TPM's manufacturer, model and version, which decide nothing.
func prepareLeaf(leaf *x509.Certificate) error {
	if leaf.IsCA {
		return errors.New("it is a CA's")
	}
	if !slices.ContainsFunc(leaf.UnknownExtKeyUsage, oidEKCertificate().Equal) {
		return errors.New("the extended key usage is missing")
	}
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(leaf.UnhandledCriticalExtensions, oidSubjectAltName().Equal)
	return nil
}

func parseCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
		return nil, fmt.Errorf("an RSA key of %d bits, want at most %d", k.N.BitLen(), maxRSABits)
	}
	return c, nil
}
