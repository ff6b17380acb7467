// Package mutual lets the two ends of a connection attest each other.
//
// In the ordinary direction a provider is the attester and a publisher the
// verifier (RFC 9334, 2). An operator may want the other direction too: to run
// only what comes from machines that it can judge. The provider then opens a
// stream of the same protocol back over the connection that the publisher made
// ([Ask]), and the publisher's machine answers as a provider's does ([Prover]).
// The messages, the binding of claims to evidence and the rules of verification
// are the same; the roles in the claims are those of the stream: provider_peer is
// who proves, verifier_peer who asked.
//
// A publisher proves nothing to strangers, for evidence names its machine. It
// serves the protocol to the providers that it is just deploying to
// ([Prover.Permit]) and refuses all others, and proves for the purpose of a
// provision alone. What a prover says in its claims beside the evidence is not
// used: nothing is sealed to a publisher.
package mutual
