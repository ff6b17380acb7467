// Package artifacts keeps uploaded bytes: binaries, archives and images that
// revisions are made of.
//
// An [Artifact] is a record, made by [Store.Create], and content that comes
// once and then never changes. [Store.Upload] brings it in one piece, and may
// be repeated with the same bytes. [Store.Begin], [Store.Offset] and
// [Store.Append] bring it in parts, with the semantics of resumable uploads
// (tus 1.0.0; draft-ietf-httpbis-resumable-upload): the server says how much it
// has, the client goes on from there. There is no HTTP here. Digests are those
// of RFC 9530, the content's own is SHA-256.
//
// # On the disk
//
// Each artifact has a directory named by its ID. Each append is a segment: a
// file of its own, named by the offset and a random tag. A finished artifact is
// its list of segments, which [Content] reads as one. What exists is decided by
// one small file, the state: how long the content is, which segments it has,
// and the state of the hash, from which SHA-256 goes on after a restart. A
// segment is written and synced first, then the state is replaced (write, fsync,
// rename, fsync of the directory), then the [Records] learn of a complete
// artifact. So a crash at any instruction leaves the old state or the new one;
// [Store.Run] removes the files that no state names, and completes the record of
// content that is whole. A deletion removes the record first.
//
// All files are age files (C2SP age, version 1) for one X25519 identity: a key
// for each file, ChaCha20-Poly1305 over chunks of 64 KiB (STREAM), which allows
// random access. Where segments begin and how long they are is in clear; names,
// labels and content are not. The identity is the caller's to keep. An age file
// proves no author, but who does not know the identity's public half, which is
// on no disk, cannot make one; a segment starts with the artifact's ID and its
// tag, and the state has the content's digest, which has to be that of the
// record. So the disk's owner cannot exchange, mix or put back files unnoticed
// as long as the [Records] cannot be put back. He can delete them.
//
// # Limits
//
// A stranger may grow the number of artifacts, their bytes, the segments of one,
// the uploads that run at once and each text of a record; each has a limit.
// An upload is one pass with a fixed number of blocks, hashed and encrypted side
// by side. Uploads that nobody completes are removed.
package artifacts
