package commit

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	sshBegin = "-----BEGIN SSH SIGNATURE-----"
	sshEnd   = "-----END SSH SIGNATURE-----"
	// sshMagic begins a signature and what it covers (PROTOCOL.sshsig of OpenSSH).
	sshMagic = "SSHSIG"
	// sshNamespace keeps a signature of a file from passing for one of a commit.
	sshNamespace = "git"
	// userPresent is the flag of a security key that was touched (PROTOCOL.u2f).
	userPresent = 1
)

// sshSig is the blob of a signature, behind the magic.
type sshSig struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// sshSigned is what the signature covers, behind the magic.
type sshSigned struct {
	Namespace, Reserved, Hash string
	Sum                       []byte
}

func verifySSH(c Commit, keys []sshKey) (Signer, error) {
	body, ok := strings.CutPrefix(c.Signature, sshBegin+"\n")
	body, ok2 := strings.CutSuffix(strings.TrimRight(body, "\n"), "\n"+sshEnd)
	blob, err := base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(body, "\n", ""))
	if !ok || !ok2 || err != nil || !strings.HasPrefix(string(blob), sshMagic) {
		return Signer{}, bad(c, "its armour cannot be read")
	}
	var s sshSig
	if err := ssh.Unmarshal(blob[len(sshMagic):], &s); err != nil || s.Version != 1 {
		return Signer{}, bad(c, "it is not of version 1")
	}
	if s.Namespace != sshNamespace {
		return Signer{}, bad(c, "it is for another purpose than commits")
	}
	key, err := ssh.ParsePublicKey(s.PublicKey)
	if err != nil || !slices.Contains(sshKinds, key.Type()) {
		return Signer{}, bad(c, "its key is of a kind that is not taken")
	}
	if bits := rsaBits(key); bits != 0 && bits < minRSA {
		return Signer{}, bad(c, "its RSA key is too short")
	}
	var sum []byte
	switch s.Hash {
	case "sha256":
		h := sha256.Sum256(c.Signed)
		sum = h[:]
	case "sha512":
		h := sha512.Sum512(c.Signed)
		sum = h[:]
	default:
		return Signer{}, bad(c, "its hash is none of sha256 and sha512")
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal(s.Signature, &sig); err != nil || !formatOf(key.Type(), sig) {
		return Signer{}, bad(c, "its algorithm is not one for the key")
	}
	signed := append([]byte(sshMagic), ssh.Marshal(sshSigned{s.Namespace, s.Reserved, s.Hash, sum})...)
	if err := key.Verify(signed, &sig); err != nil {
		return Signer{}, bad(c, "it is not of these bytes and this key")
	}
	return listed(c, key, keys)
}

// formatOf reports whether a signature is of an algorithm for a kind of key.
// "ssh-rsa" is RSA with SHA-1, and a security key says that it was touched.
func formatOf(kind string, sig ssh.Signature) bool {
	switch kind {
	case ssh.KeyAlgoRSA:
		return (sig.Format == ssh.KeyAlgoRSASHA256 || sig.Format == ssh.KeyAlgoRSASHA512) && len(sig.Rest) == 0
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return sig.Format == kind && len(sig.Rest) == 5 && sig.Rest[0]&userPresent != 0
	}
	return sig.Format == kind && len(sig.Rest) == 0
}

// listed finds an authentic key in the list.
func listed(c Commit, key ssh.PublicKey, keys []sshKey) (Signer, error) {
	print, old := ssh.FingerprintSHA256(key), false
	for _, k := range keys {
		if !k.is(key) {
			continue
		}
		if k.valid(c.Committer.Time) {
			return Signer{Kind: "ssh", Key: print, Name: k.name}, nil
		}
		old = true
	}
	if old {
		return Signer{}, unknown(c, "the list has the key "+print+" for another time")
	}
	return Signer{}, unknown(c, "the list does not have the key "+print)
}
