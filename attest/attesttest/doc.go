// Package attesttest gives tests of attestation their opponents: real software
// TPMs with a certificate authority of their own ([SWTPM]), challenges and
// claims that fit together ([NewChallenge], [Claims]), and evidence with one bit
// changed ([FlipEveryBit]). Only tests import it.
//
// A missing swtpm fails a test: one that is passed over proves nothing.
package attesttest
