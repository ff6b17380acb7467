package keyrelease

// BuildInfo is the HPKE info string of what is sealed for a build. A message for one
// purpose does not open for another, whatever its bytes could be read as.
const BuildInfo = "apocryph/build/0.0.1"

// SealBuild is [Seal] for what a build needs. No confirmation is wanted: the answer to
// a build is a statement signed with the other attested key.
func SealBuild(pub []byte, claimsDigest [32]byte, requestID [16]byte, plaintext []byte) (enc, ciphertext []byte, err error) {
	enc, ciphertext, _, err = seal(BuildInfo, pub, claimsDigest, requestID, plaintext)
	return enc, ciphertext, err
}

// OpenBuild decrypts what [SealBuild] made for the same attestation and request. The
// errors are [ErrUnsealable] and [ErrTooLarge].
func (k *PrivateKey) OpenBuild(enc, ciphertext []byte, claimsDigest [32]byte, requestID [16]byte) (plaintext []byte, err error) {
	plaintext, _, err = k.open(BuildInfo, enc, ciphertext, claimsDigest, requestID)
	return plaintext, err
}
