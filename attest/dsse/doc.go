// Package dsse signs bytes in envelopes.
//
// An envelope is that of the Dead Simple Signing Envelope 1.0.2 in its JSON form:
// a media type, the payload in base64 and, here, exactly one Ed25519 signature.
// What is signed is the pre-authentication encoding of type and payload, in which
// both say their lengths. Nothing that is signed depends on a canonical form of
// JSON, and a payload of one type is never good as one of another.
//
// Around the signature there is room for bytes that nobody signed: names in another
// case, names that are there twice, a key id that is not the key's. Two readers may
// disagree about them, so [Parse] takes one form alone, that of [Seal], but for
// white space between its tokens, which tools for JSON change as they like.
//
// A key is always the caller's: an [Envelope] has no method that takes it from the
// envelope itself.
package dsse
