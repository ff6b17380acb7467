package verify

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"time"

	"apocryph/attest"
)

// MaxLifetime bounds how long claims may say that they are good for.
const MaxLifetime = time.Hour

// maxSkew is how far a provider's clock may run ahead. Freshness rests on the
// nonce; this only keeps honest machines without NTP usable.
const maxSkew = 2 * time.Minute

func checkClaims(s *steps, raw []byte, ch attest.Challenge, now time.Time) (*attest.Claims, error) {
	c, err := attest.DecodeClaims(raw)
	if err != nil {
		return nil, s.malformed(err)
	}
	s.pass(codeParse, "well-formed")
	if c.Purpose != ch.Purpose {
		return nil, s.fail(codePurpose, c.Purpose.String(), ch.Purpose.String(), nil)
	}
	s.pass(codePurpose, c.Purpose.String())
	same := subtle.ConstantTimeCompare(c.Nonce, ch.Nonce[:]) == 1
	if err := s.equal(codeNonce, same, c.Nonce, ch.Nonce[:]); err != nil {
		return nil, err
	}
	if err := checkAudience(s, c, ch); err != nil {
		return nil, err
	}
	// A user of an endpoint learns the provider's peer from the claims.
	if len(ch.ProviderPeer) > 0 {
		if err := s.equal(codePeer, bytes.Equal(c.ProviderPeer, ch.ProviderPeer), c.ProviderPeer, ch.ProviderPeer); err != nil {
			return nil, err
		}
	}
	if ch.TLSKey != nil {
		if err := s.equal(codeTLSKey, bytes.Equal(c.IngressTLSKey, ch.TLSKey), c.IngressTLSKey, ch.TLSKey); err != nil {
			return nil, err
		}
	}
	if err := checkTimes(s, c, now); err != nil {
		return nil, err
	}
	return c, nil
}

// checkAudience compares who the claims were made for: a peer, or the users of a
// host. Never both, so that neither kind of evidence is good for the other use.
func checkAudience(s *steps, c *attest.Claims, ch attest.Challenge) error {
	if ch.Purpose != attest.PurposeEndpoint {
		if c.Host != "" {
			return s.fail(codeAudience, fmt.Sprintf("the users of host %q", c.Host), "this verifier", nil)
		}
		return s.equal(codeAudience, bytes.Equal(c.VerifierPeer, ch.VerifierPeer), c.VerifierPeer, ch.VerifierPeer)
	}
	want := fmt.Sprintf("the users of host %q", ch.Host)
	switch {
	case len(c.VerifierPeer) > 0:
		return s.fail(codeAudience, "peer "+short(c.VerifierPeer), want, nil)
	case c.Host != ch.Host:
		return s.fail(codeAudience, fmt.Sprintf("the users of host %q", c.Host), want, nil)
	}
	s.pass(codeAudience, want)
	return nil
}

func checkTimes(s *steps, c *attest.Claims, now time.Time) error {
	const clocks = "compare the clocks of both machines"
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case c.IssuedAt.After(now.Add(maxSkew)):
		return s.fail(codeExpired, "issued at "+at(c.IssuedAt), "at most 2 minutes after "+at(now), nil).WithHint(clocks)
	case !c.ExpiresAt.After(now):
		return s.fail(codeExpired, "expired at "+at(c.ExpiresAt), "a time after "+at(now), nil).WithHint(clocks)
	case c.ExpiresAt.After(c.IssuedAt.Add(MaxLifetime)):
		return s.fail(codeExpired, "a lifetime of "+c.ExpiresAt.Sub(c.IssuedAt).String(), "at most "+MaxLifetime.String(), nil)
	}
	s.pass(codeExpired, "expires at "+at(c.ExpiresAt))
	return nil
}
