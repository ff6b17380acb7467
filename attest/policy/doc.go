// Package policy decides whether an authentic machine is acceptable.
//
// RFC 9334 parts the appraisal of evidence in two. Verification (package
// verify) asks whether evidence is genuine, fresh and bound to this
// conversation, and ends in an [attest.Result]: facts that hardware or a
// certificate authority vouches for. This package asks the other question:
// are those facts what this verifier wants? It compares them with a [Policy],
// the verifier's own reference values, and ends in an [attest.Verdict].
//
// A policy is a small YAML file ([Parse]) that is read strictly: a field that
// is not known is a fault, because a misspelt demand would otherwise be no
// demand at all. It names the levels of evidence that are accepted, the
// machines and measurements that are expected (a result must match any one
// [ReferenceSet] in full), the age that evidence may have, what an offer may
// cost, and how data at rest must be protected. Weak evidence is never
// accepted by omission: the levels of a TPM are named one by one, and a
// software device needs its level and its certificate authority named both.
//
// [Policy.Appraise] denies unless every check passed. The zero policy, a
// policy with faults, a missing result, a result without checks and a panic
// all deny. It stops at the first failure and says what it got, what it
// wanted and which line of the policy asked. Codes such as [CodeMeasurement]
// are stable.
//
// [Builtin] is the policy of someone who has none: confidential hardware only,
// and no reference values, so that it fails and says how to pin some.
// [FromResult] writes down what providers showed; such a policy is marked
// unverified, since values that come from the machine they are to judge prove
// only that the machine stays the same. [Lint] finds demands that prove
// nothing, [Explain] says in plain English what is demanded.
//
// The package is pure: time comes in as a value, and nothing is read or dialled.
package policy
