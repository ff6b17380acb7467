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
//
// [Authority] has certificates signed that browsers trust, by a client of ACME
// (RFC 8555) with challenges of type http-01, which the ingress answers. Since
// authorities limit how often they sign, the key has to outlive the process
// then: it is sealed (AES-256-GCM) with a key that only this measured state of
// the machine has, as is the key of the account. Orders are one at a time,
// for hosts of running pods alone, bounded in an hour and, after a failure, per
// host. The authority is a stranger: its answers are bounded, and a certificate
// is shown only if it is for our key and the host.
package certs
