// Package p384 verifies signatures by ECDSA over the curve P-384 (FIPS 186-5,
// 6.4.2; SEC 1, 4.1.4) faster than the standard library does.
//
// Chips with SEV-SNP sign their reports on this curve, for which crypto/ecdsa has
// no assembly on amd64: one verification takes longer than everything else
// that is done with a report, and a verifier of many providers does little
// else. CIRCL has the field arithmetic in assembly, and multiplies by the
// generator and the key in one pass (Shamir's trick, with non-adjacent forms).
//
// Its running time depends on what it works on. That is no leak here: signature,
// digest and key are all public. Nothing in this package signs, and nothing
// secret may be given to it.
//
// The part that is ours is the equation and its bounds: a [Key] is a point on
// the curve as crypto/ecdsa sees it, r and s are 1 to n-1, and the sum's x
// coordinate modulo n is r. Tests hold every verdict against crypto/ecdsa,
// for real signatures, every bit of them, and points where addition has
// exceptions.
//
// The package is pure.
package p384
