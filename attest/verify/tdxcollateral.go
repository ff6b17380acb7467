package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"apocryph/attest"
)

// tdxCollateral is what Intel says, now, of a platform and its quoting enclave.
type tdxCollateral struct {
	tcb tcbInfo
	qe  enclaveIdentity
	// expires is the earliest next update of the four.
	expires time.Time
}

// tdxEndorsements are the four that are demanded of every quote.
var tdxEndorsements = []attest.Kind{attest.TDXTCBInfo, attest.TDXQEIdentity, attest.TDXRootCRL, attest.TDXPCKCRL}

// issuerLength is that of the one shape that the chains of Intel's statements
// have: the signer and the root.
const issuerLength = 2

// collect verifies the collateral: that all four came, that Intel made them,
// that they are current, and that no certificate in use is revoked. Without the
// QE identity any enclave of the platform could make quotes, and without the
// rest keys and firmware that Intel gave up would pass.
func (p *pckChain) collect(e attest.Evidence, now time.Time) (*tdxCollateral, *refusal) {
	pieces := make(map[attest.Kind]attest.Endorsement, len(tdxEndorsements))
	for _, kind := range tdxEndorsements {
		x, ok := e.Endorsed(kind)
		if !ok {
			return nil, &refusal{codeNoCollateral, "no " + string(kind), "Intel's collateral for this platform along with the quote", nil}
		}
		pieces[kind] = x
	}
	var c tdxCollateral
	signers := make([]*x509.Certificate, 0, issuerLength)
	for _, part := range []struct {
		kind    attest.Kind
		name    string
		id      string
		version int
		into    any
		head    *issued
	}{
		{attest.TDXTCBInfo, "tcbInfo", "TDX", 3, &c.tcb, &c.tcb.issued},
		{attest.TDXQEIdentity, "enclaveIdentity", "TD_QE", 2, &c.qe, &c.qe.issued},
	} {
		x, what := pieces[part.kind], string(part.kind)
		signer, r := p.signer(what, x.Chain, signers, now)
		if r != nil {
			return nil, r
		}
		signers = append(signers, signer)
		statement, signature, err := parseSigned(x.Body, part.name)
		if err != nil {
			return nil, &refusal{codeParse, what + " that cannot be read", "the answer of Intel's service, to the byte", err}
		}
		if !p256Verify(signer.PublicKey.(*ecdsa.PublicKey), statement, signature) {
			return nil, &refusal{codeSignature, what + " that Intel did not sign", "the answer of Intel's service, to the byte", nil}
		}
		if err := json.Unmarshal(statement, part.into); err != nil {
			return nil, &refusal{codeParse, what + " that cannot be read", "the answer of Intel's service, version 4", err}
		}
		if part.head.ID != part.id || part.head.Version != part.version {
			return nil, &refusal{codeParse, fmt.Sprintf("%s %.32q, version %d", what, part.head.ID, part.head.Version), fmt.Sprintf("%q, version %d", part.id, part.version), nil}
		}
		if r := c.current(what, part.head.IssueDate, part.head.NextUpdate, now); r != nil {
			return nil, r
		}
	}
	issuers := append(slices.Clone(signers), p.ca, p.root)
	if r := c.revocations(attest.TDXRootCRL, pieces[attest.TDXRootCRL].Body, p.root, issuers, now); r != nil {
		return nil, r
	}
	if r := c.revocations(attest.TDXPCKCRL, pieces[attest.TDXPCKCRL].Body, p.ca, []*x509.Certificate{p.leaf}, now); r != nil {
		return nil, r
	}
	return &c, c.about(p)
}

// signer verifies who signed a statement. Both statements have one signer as a
// rule, which is then in known.
func (p *pckChain) signer(what string, ders [][]byte, known []*x509.Certificate, now time.Time) (*x509.Certificate, *refusal) {
	if n := len(ders); n != issuerLength {
		return nil, &refusal{codeChain, fmt.Sprintf("%d certificates with %s", n, what), "2: signer and root", nil}
	}
	if !bytes.Equal(ders[1], p.root.Raw) {
		return nil, &refusal{codeUntrustedRoot, "another root with " + what, "that of the quote", nil}
	}
	for _, c := range known {
		if bytes.Equal(c.Raw, ders[0]) {
			return c, nil
		}
	}
	c, err := parseCertificate(ders[0])
	switch {
	case err != nil:
	case c.Subject.CommonName != nameIntelTCB:
		err = errors.New("it has another name")
	default:
		err = verifyIntel(p.root, now, c)
	}
	if err != nil {
		return nil, &refusal{codeChain, what + " of a signer that the root does not vouch for now", nameIntelTCB, err}
	}
	return c, nil
}

// current checks a piece's time and narrows that of the whole.
func (c *tdxCollateral) current(what string, from, until, now time.Time) *refusal {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case from.IsZero() || until.IsZero():
		return &refusal{codeCollateralAge, what + " without its time", "an issue date and a next update", nil}
	case now.Before(from.Add(-maxSkew)):
		return &refusal{codeCollateralAge, what + " from " + at(from), "one from before " + at(now), nil}
	case !now.Before(until):
		return &refusal{codeCollateralAge, what + " until " + at(until), "one until after " + at(now), nil}
	}
	if c.expires.IsZero() || until.Before(c.expires) {
		c.expires = until
	}
	return nil
}

// revocations holds certificates against the list of their issuer (RFC 5280, 5
// and 6.3; profile specification, 1.4).
func (c *tdxCollateral) revocations(kind attest.Kind, der []byte, issuer *x509.Certificate, certs []*x509.Certificate, now time.Time) *refusal {
	what := string(kind)
	list, err := parseCRL(der)
	if err != nil {
		return &refusal{codeParse, what + " that cannot be read", "Intel's, in DER", err}
	}
	if !bytes.Equal(list.RawIssuer, issuer.RawSubject) {
		return &refusal{codeChain, what + " of another issuer", issuer.Subject.CommonName, nil}
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return &refusal{codeChain, what + " that its issuer did not sign", issuer.Subject.CommonName, err}
	}
	if r := c.current(what, list.ThisUpdate, list.NextUpdate, now); r != nil {
		return r
	}
	for _, x := range list.RevokedCertificateEntries {
		for _, cert := range certs {
			if cert.SerialNumber.Cmp(x.SerialNumber) == 0 {
				return &refusal{codeRevoked, cert.Subject.CommonName + ", revoked at " + x.RevocationTime.UTC().Format(time.RFC3339), "certificates that Intel stands by", nil}
			}
		}
	}
	return nil
}

// about checks that the TCB info is of this kind of platform.
func (c *tdxCollateral) about(p *pckChain) *refusal {
	if bytes.Equal(c.tcb.FMSPC, p.sgx.fmspc[:]) && bytes.Equal(c.tcb.PCEID, p.sgx.pceID[:]) && c.tcb.TCBType == 0 {
		return nil
	}
	return &refusal{
		codeNoCollateral, fmt.Sprintf("TCB info of platform %s", short(c.tcb.FMSPC)),
		fmt.Sprintf("that of %x, PCE %x", p.sgx.fmspc, p.sgx.pceID), nil,
	}
}
