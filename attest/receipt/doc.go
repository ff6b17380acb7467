// Package receipt makes and checks signed statements about running pods.
//
// A receipt is what remains of an attestation for people who were not there: an
// in-toto Statement (v1) whose subjects are the digests of the images that run,
// and whose predicate says as which pod, of which revision, from which manifest,
// where it is reached and at which place of the pod log its start was measured.
// It travels in a DSSE envelope (Dead Simple Signing Envelope 1.0.2), so that
// what is signed is bytes and never a canonical form of JSON.
//
// The key that signs is the provider's receipt key, an Ed25519 key that is made
// anew at each start and named in the attested claims. A receipt is therefore
// worth exactly what evidence for that key is worth: [Open] proves who said it,
// and whoever calls it has the key from a verdict, see package verify. Without
// one it proves nothing, which is why there is no function that takes the key
// from the receipt itself.
//
// A receipt says nothing about who the publisher is. Where a pod is reached at
// and which images it runs are public already to whoever can ask it.
package receipt
