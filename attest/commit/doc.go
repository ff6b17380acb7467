// Package commit reads git's commit objects and checks who signed them.
//
// A commit is named by the SHA-1 of its object, which has the id of a tree,
// which has the ids of all files: who knows the commit's id can check every
// byte. [Parse] reads an object, [ID] computes its name, and [Tree] computes
// the id that some files have as a tree, so that what came from anywhere can be
// held against what was asked for. SHA-1 no longer resists collisions, so the
// hash here looks for the traces of known attacks and refuses, as git does
// (sha1dc); repositories of SHA-256 ids are not read.
//
// The parser is stricter than git. What has two readings is refused: git fsck
// warns of some of it, and hosts have shown signatures of one part of a commit
// beside the author of another.
//
// [Verify] checks a signature of SSH (PROTOCOL.sshsig, namespace "git") or PGP
// (RFC 9580) against the [Keys] that [ParseKeys] read. It covers the object
// without the signature's own header, and so the tree, the parents and both
// people. A signature that is wrong ([ReasonSignature]) is told apart from one
// that is right and of somebody who is not in the list ([ReasonSigner]).
package commit
