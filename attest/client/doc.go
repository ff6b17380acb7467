// Package client lets the users of an app see for themselves what serves it.
//
// Whoever opens https://app.example/ has no contract with the machine behind
// that name, and a certificate only says who owns the name. A provider of this
// project answers at [attest.EndpointPath] with evidence: a report of its
// hardware over claims that name the user's own nonce, the app's host, the key of
// its TLS connections and the pod, and a receipt for that pod, signed with a key
// that the claims name too. In terms of RFC 9334 the user is a relying party with
// a verifier of its own, and the provider the attester.
//
// [Verifier.Verify] asks for evidence and goes through it in one order: the
// evidence is authentic and fresh (package verify), the machine is acceptable
// (package policy), the pod is the one expected, and the receipt fits all of it.
// Each step is an [attest.Check], and the first that fails denies. The connection
// is taken from anybody: no certificate authority is asked, since its word would
// add nothing. What counts is that the key which finished the handshake is the key
// in the claims, because then nobody sits in between: somebody who relays the
// evidence of an honest machine has not got its key (a "channel binding", RFC
// 5056, with the server's end point as in RFC 5929).
//
// [Transport] is an [http.RoundTripper] which does this before it sends. Its
// connections are pinned to the key that was verified, so not one byte of a request
// reaches a machine that was not: a changed key breaks the handshake, and the
// machine is verified again. Each request also says which manifest was verified
// ([ExpectHeader]), so that after an update another revision refuses it instead of
// answering ([RevisionError]). Verdicts expire, and the next request renews them.
//
// [Verifier.VerifyDocument] takes the same evidence from a file, without any
// network. It says less: a file's connection is not seen, and it is fresh only for
// who made the nonce.
//
// Policies decide. Without one the built-in applies, which accepts SEV-SNP and TDX
// with pinned measurements and pins none, so it denies everybody: a user's policy
// comes from the app's publisher, or from somebody who reads the provider's source.
//
// The package needs net/http and nothing of libp2p or IPFS: a program that imports
// it does not become a peer.
package client
