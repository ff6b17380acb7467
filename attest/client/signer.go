package client

import (
	"apocryph/attest"
	"apocryph/attest/commit"
	"apocryph/attest/policy"
)

// signedBy is the [SignerOf] of who gave none: signatures of SSH and PGP.
func signedBy(object []byte, keys policy.Signers) (attest.BuildSigner, error) {
	var texts [][]byte
	for _, list := range [][]string{keys.SSH, keys.PGP} {
		for _, k := range list {
			texts = append(texts, []byte(k))
		}
	}
	known, err := commit.ParseKeys(texts...)
	if err != nil {
		return attest.BuildSigner{}, err
	}
	c, err := commit.Parse(object)
	if err != nil {
		return attest.BuildSigner{}, err
	}
	s, err := commit.Verify(c, known)
	return attest.BuildSigner(s), err
}
