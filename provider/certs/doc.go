// Package certs has the certificates of the ingress: many names, one key.
//
// What users of an app verify is a key, not a name: the provider's claims have
// the SHA-256 of the SubjectPublicKeyInfo (RFC 5280, 4.1) of the one key that
// the ingress speaks TLS with. So every certificate is for that key, and which
// authority signed it decides nothing about trust in the provider. By default
// [Keyring] signs certificates itself, one per host at the first handshake that
// asks for it; browsers warn of them, verifiers that look at evidence do not.
//
// The key is ECDSA on P-256, made at each start, and never leaves the process.
package certs
