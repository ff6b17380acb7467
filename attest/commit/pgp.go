package commit

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const pgpSignature = "-----BEGIN PGP SIGNATURE-----"

// pgpHashes are those that a signature may be made with. SHA-1, MD5 and
// RIPEMD-160 are not among them.
var pgpHashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}

var errPanic = errors.New("the parser of PGP broke down")

// guarded calls a parser of strangers' packets, some of which has been seen to panic.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errPanic
		}
	}()
	return f()
}

// readPGP reads an armoured block of public keys; why says what is wrong.
func readPGP(block string) (list openpgp.EntityList, why string) {
	list, err := guarded(func() (openpgp.EntityList, error) {
		return openpgp.ReadArmoredKeyRing(strings.NewReader(block))
	})
	if err != nil || len(list) == 0 {
		return nil, "a block that cannot be read"
	}
	for _, e := range list {
		if e.PrivateKey != nil {
			return nil, "a private key"
		}
		if !strong(e.PrimaryKey) {
			return nil, fmt.Sprintf("the key %X, which is DSA or too short", e.PrimaryKey.Fingerprint)
		}
	}
	return list, ""
}

// strong reports whether a key is of a kind and size that is taken.
func strong(k *packet.PublicKey) bool {
	switch k.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		bits, err := k.BitLength()
		return err == nil && bits >= minRSA
	case packet.PubKeyAlgoECDSA, packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoEd25519, packet.PubKeyAlgoEd448:
		return true
	}
	return false
}

func verifyPGP(c Commit, keys openpgp.EntityList) (Signer, error) {
	sig, err := guarded(func() (*packet.Signature, error) { return readSignature(c.Signature) })
	if err != nil {
		return Signer{}, bad(c, "its armour or packet cannot be read")
	}
	if sig.SigType != packet.SigTypeBinary || !slices.Contains(pgpHashes, sig.Hash) {
		return Signer{}, bad(c, "it is no signature of bytes with SHA-2")
	}
	if sig.IssuerKeyId == nil {
		return Signer{}, bad(c, "it does not name its key")
	}
	var able openpgp.EntityList
	for _, k := range keys.KeysByIdUsage(*sig.IssuerKeyId, packet.KeyFlagSign) {
		if strong(k.PublicKey) {
			able = append(able, k.Entity)
		}
	}
	if len(able) == 0 {
		return Signer{}, unknown(c, fmt.Sprintf("the list has no key %016X for signing", *sig.IssuerKeyId))
	}
	// A signature is made after its commit, and both must lie in the key's time.
	at := c.Committer.Time
	if sig.CreationTime.After(at) {
		at = sig.CreationTime
	}
	config := &packet.Config{Time: func() time.Time { return at }}
	e, err := guarded(func() (*openpgp.Entity, error) {
		body, err := armor.Decode(strings.NewReader(c.Signature))
		if err != nil {
			return nil, err
		}
		return openpgp.CheckDetachedSignatureAndHash(able, bytes.NewReader(c.Signed), body.Body, pgpHashes, config)
	})
	switch {
	case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrKeyRevoked), errors.Is(err, pgperrors.ErrSignatureExpired):
		return Signer{}, unknown(c, "the key, or the signature, had run out or was revoked when it was made")
	case err != nil:
		return Signer{}, bad(c, "it is not of these bytes and this key")
	}
	return Signer{Kind: "pgp", Key: fmt.Sprintf("%X", e.PrimaryKey.Fingerprint), Name: userID(e)}, nil
}

// readSignature reads an armoured signature that is one packet and nothing else.
func readSignature(text string) (*packet.Signature, error) {
	block, err := armor.Decode(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	if block.Type != openpgp.SignatureType {
		return nil, errors.New("another kind of armour")
	}
	packets := packet.NewReader(block.Body)
	p, err := packets.Next()
	if err != nil {
		return nil, err
	}
	sig, ok := p.(*packet.Signature)
	if !ok {
		return nil, errors.New("another kind of packet")
	}
	if _, err := packets.Next(); err != io.EOF {
		return nil, errors.New("more than one packet")
	}
	return sig, nil
}

// userID is what a key calls its owner, or its fingerprint where it has no name.
func userID(e *openpgp.Entity) string {
	if id := e.PrimaryIdentity(); id != nil {
		return printable(id.Name)
	}
	return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint)
}
