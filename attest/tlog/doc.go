// Package tlog is a provider's transparency log: what it attested and which keys
// it was given, in a form that it cannot take back or tell differently to
// different people.
//
// The log is a Merkle tree as in Certificate Transparency (RFC 6962), over
// golang.org/x/mod/sumdb/tlog, and belongs to the provider's peer id. Its leaves
// are [Entry] values: the digest of claims that evidence was given for, and the
// release of a pod's keys. Its head ([Head]) is a note, signed with the receipt
// key, which is in the attested claims. [CheckInclusion] proves that an entry is in the tree
// of a head, [CheckConsistency] that a later tree only appended to an earlier
// one. [Verifier.Check] makes all of these checks in the one safe order and is
// what a client calls.
//
// The log proves nothing about whether an entry is true. What it adds is that a
// lie is the same for everybody and stays: a publisher who finds a release in the
// log that it never made knows that its evidence or its keys were used. For that,
// each client keeps the last head that it has verified and hands it to the next
// check. A smaller tree is a rollback; an equally large one with another root, or
// a larger one that does not contain the old one, is equivocation.
//
// [Equivocation] is a proof of that: two heads, both signed by the provider, and
// hashes that show the tree of the second to have another beginning than the
// tree of the first. It takes nothing but the keys to check, so it can be given
// to anybody. A provider that merely refuses to prove consistency cannot be
// convicted this way, for nobody can show that there is no proof; its two heads
// are still signed, and whoever holds them can ask again. A clock that runs
// backwards proves nothing either: clocks do that to the honest.
//
// Everybody may read the log. An entry therefore has the pod and its manifest as
// a salted commitment, which its owner can open ([CheckRelease]) and nobody can
// guess. The digest of claims is in the clear: claims contain a nonce that only
// the two parties know. How many entries there are, of which kind and when, is
// not hidden.
//
// Keys change at each start of a provider while the log goes on. A head names its
// boot, and a verifier has the key from evidence of that start.
//
// # Encoding
//
// All integers are big-endian. len is a u32.
//
//	entry       = "apocryph/tlog/0.0.1" || 0x00 || u8 kind || u64 Unix milliseconds || body
//	body        = 1: claims digest (32)
//	              2: claims digest (32) || commitment (32)
//	commitment  = SHA-256("apocryph/tlog/0.0.1/release" || 0x00 || salt (32) ||
//	              manifest digest (32) || len || pod id)
//	leaf        = SHA-256(0x00 || entry), node = SHA-256(0x01 || left || right)
//	inclusion   = 'i' || u64 index || u64 size || u8 n || n hashes (32)
//	consistency = 'c' || u64 old size || u64 new size || u8 n || n hashes (32)
//
// A head is a signed note (golang.org/x/mod/sumdb/note) of five lines, of which
// the first three are those of a C2SP tlog-checkpoint; each ends in a newline:
//
//	apocryph/PEERID
//	number of entries, decimal
//	root hash, base64
//	boot EPOCH, lower case hex
//	time MILLISECONDS, decimal Unix time
//
// One signature line of the same name follows an empty line. The receipt key
// signs other things too; their first bytes differ from every note's.
//
// # Reasons
//
// [CheckCode] gives the code of a failed check: ATT-140 for an entry that is not
// in the log, ATT-141 for equivocation and rollback, ATT-024 for a head that is
// too old, ATT-040 for a signature.
package tlog
