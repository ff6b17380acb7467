// Package verify finds out whether evidence is authentic and fresh: the
// verifier of RFC 9334 without its policy.
//
// [Evidence] answers one question: did a device that chains to a trusted root
// sign exactly these claims, for this challenge, now? It goes from what costs
// an attacker nothing to forge to what costs most, and stops at the first
// failure: shape and size; nonce, audience, peer and time of the claims; the
// chain to a root; the signature; the binding of the claims; debug mode; for a
// TPM the activation, the attestation key's name and the registers. Each step
// is an attest.Check with a stable code, whether it passed or not.
//
// SEV-SNP reports and those of the software device take the same path, with
// other roots: [Roots] of the first are AMD's and compiled in, those of the
// second are named one by one. Evidence never brings its own root. A
// certificate that came along may serve as one only where its fingerprint was
// pinned beforehand.
//
// A TPM's quote counts only where something shows that its attestation key is the
// expected TPM's. As a rule that is credential activation, which takes a message to
// the prover first: [NewActivation] checks the endorsement key's chain and the
// attestation key's public area against the exact template, and the [Expected]
// that it returns is what Evidence holds the quote against. [Recall] is for a
// verifier that saw an activation before, [Pinned] for one that knows the key by
// its name, as of evidence in a file. In composite evidence a report comes first
// whose claims name the key ([BoundAK]): neither half can be transplanted, since
// both bind the same claims.
//
// Where a boot log came along it is replayed against the registers that were
// proven a step before. The log itself stays a stranger's word, whose bits may
// change where no digest covers them; its facts may not. [Seen] holds the counters
// of a TPM against those of the time before.
//
// Users of an app are verifiers without a peer id. Their evidence is for a host
// and, where they are connected to it, for the connection's key; it serves no
// other use, and theirs no one else's.
//
// What is left to a policy: which measurements, registers, TCB versions and
// machines are acceptable. No network is used; time is a value. Every parser of
// a stranger's bytes runs behind caps and a recover.
package verify
