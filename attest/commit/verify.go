package commit

import (
	"strings"

	"apocryph/proto/status"
)

// Verify checks a commit's signature and says who made it. The times of keys
// are held against those that the commit and the signature claim: who has a key
// that has run out, or was revoked for another reason than being stolen, can
// claim an earlier one.
func Verify(c Commit, keys Keys) (Signer, error) {
	switch {
	case c.Signature == "":
		return Signer{}, status.New(status.PermissionDenied, ReasonUnsigned, "the commit %s is not signed", c.ID).
			WithHint("sign it (git commit -S), or change the policy")
	case strings.HasPrefix(c.Signature, sshBegin+"\n"):
		return verifySSH(c, keys.ssh)
	case strings.HasPrefix(c.Signature, pgpSignature+"\n"):
		return verifyPGP(c, keys.pgp)
	}
	return Signer{}, bad(c, "it is neither of SSH nor of PGP")
}

func bad(c Commit, why string) error {
	return status.New(status.PermissionDenied, ReasonSignature, "the signature of the commit %s is not taken: %s", c.ID, why).
		WithHint("sign it again, with an ed25519, ecdsa or RSA key of SSH or PGP")
}

func unknown(c Commit, why string) error {
	return status.New(status.PermissionDenied, ReasonSigner, "the commit %s is signed by somebody else: %s", c.ID, why).
		WithHint("have it signed by one who is in the list, or add the key to it")
}
