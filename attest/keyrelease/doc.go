// Package keyrelease seals what a publisher releases to an attested provider.
//
// Evidence alone proves that some machine is trustworthy, not that the other
// end of a connection is that machine: a relay can pass on evidence that is
// not its own. So the claims carry a public key whose private half never
// leaves the attested process, and everything secret is encrypted to that key.
// A relay that fools every check still learns nothing.
//
// The construction is HPKE (RFC 9180) in base mode: DHKEM(X25519,
// HKDF-SHA256), HKDF-SHA256, AES-256-GCM, with [Info] as the info string. The
// associated data is the digest of the claims followed by the id of the
// request, so that a message opens only for the attestation and the request
// that it was sealed for.
//
// HPKE authenticates nobody to the sender. The receiver therefore proves that
// it holds the key: it answers with HMAC-SHA256 over the request id under a
// secret that both ends export from the HPKE context. [Seal] returns the value
// to expect, [PrivateKey.Open] the one to answer, [CheckConfirm] compares them.
//
// What a build needs is sealed in the same way with [BuildInfo] ([SealBuild]).
//
// A key is made anew at each start ([NewKey]) and is never written anywhere;
// there is no way to get its bytes out of a [PrivateKey]. Whatever makes a
// message impossible to open gives the same [ErrUnsealable], so that an error
// is no oracle.
package keyrelease
