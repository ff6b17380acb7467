package verify

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// checkCRL holds the chain against AMD's revocation list, which the root signs
// and which covers the certificates that the root signed. Chip certificates do
// not occur in it: AMD raises TCB versions instead, and they share one serial
// number.
func (c *snpChain) checkCRL(der []byte, now time.Time) *refusal {
	list, err := parseCRL(der)
	if err != nil {
		return &refusal{codeParse, "a revocation list that cannot be read", "AMD's, in DER", err}
	}
	if !bytes.Equal(list.RawIssuer, c.root.RawSubject) {
		return &refusal{codeChain, "a revocation list of another issuer", "one of the chain's root", nil}
	}
	if err := list.CheckSignatureFrom(c.root); err != nil {
		return &refusal{codeChain, "a revocation list that the root did not sign", "one of the chain's root", err}
	}
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	from := list.ThisUpdate.Add(-maxSkew)
	switch {
	case now.Before(from):
		return &refusal{codeCollateralAge, "a revocation list from " + at(list.ThisUpdate), "one from before " + at(now), nil}
	case list.NextUpdate.IsZero():
		return &refusal{codeCollateralAge, "a revocation list without an end", "one with a next update", nil}
	case now.After(list.NextUpdate):
		return &refusal{codeCollateralAge, "a revocation list until " + at(list.NextUpdate), "one until after " + at(now), nil}
	}
	for _, x := range list.RevokedCertificateEntries {
		for _, cert := range []*x509.Certificate{c.intermediate, c.root} {
			if cert.SerialNumber.Cmp(x.SerialNumber) == 0 {
				return &refusal{codeRevoked, fmt.Sprintf("%s, revoked at %s", cert.Subject.CommonName, at(x.RevocationTime)), "certificates that AMD stands by", nil}
			}
		}
	}
	c.crlExpires = list.NextUpdate
	c.narrow(from, list.NextUpdate)
	return nil
}

// parseCRL refuses what the standard library does not look at: bytes after the
// list, and critical extensions, which may say that the list is not what it
// looks like (RFC 5280, 5.2).
func parseCRL(der []byte) (*x509.RevocationList, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	if len(list.Raw) != len(der) {
		return nil, errors.New("bytes after the list")
	}
	for _, x := range list.Extensions {
		if x.Critical {
			return nil, fmt.Errorf("critical extension %v", x.Id)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		if entry.SerialNumber == nil || entry.SerialNumber.Cmp(new(big.Int)) < 0 {
			return nil, errors.New("an entry without a serial number")
		}
		for _, x := range entry.Extensions {
			if x.Critical {
				return nil, fmt.Errorf("critical extension %v of an entry", x.Id)
			}
		}
	}
	return list, nil
}
