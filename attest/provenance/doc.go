// Package provenance says how an image was built, in the words of SLSA v1, signed
// by the attested key of the machine that built it.
//
// A statement is an in-toto Statement (v1) with the predicate of SLSA Provenance
// (v1.0). Its subjects are the image: the digest of its configuration, which is the
// same before and after encryption and is what receipts name; that of its plain
// manifest; and of the executable, where there is one. buildDefinition has all that
// a caller could choose as externalParameters, and as resolvedDependencies what went
// in: first the commit, then base images, toolchains and packages. What SLSA has no
// word for (tree, branch, signer, how the files came) is in the annotations of the
// commit's ResourceDescriptor, with names that begin with "apocryph_".
//
// The commit's descriptor has the raw commit object as its content. A commit id is
// the digest of this object, and the object names the tree: [Build.Check] follows
// commit to tree with nothing but a hash, and its signature can be verified by
// somebody who never saw the repository. The builder for its part recomputed the tree
// from the very files that it built.
//
// There is one form: [Decode] refuses what [Encode] would not have written, for two
// tools must not read two things out of one statement.
//
// Statements travel in DSSE envelopes ([Sign], [Open]). The key is the provider's
// receipt key, made anew at each start and named in the attested claims, so a
// statement is worth what evidence for that key is worth; the package has no function
// that takes a key from an envelope. A provider signs its own statements again after
// a start. What stays the same is the digest of the statement ([Digest]), which
// receipts and the pod log name.
package provenance
