// Package oci reads container images from where people keep them: OCI image
// layouts, OCI archives, docker archives and registries.
//
// An image is a tree of content-addressed blobs: an index lists manifests by
// platform, a manifest lists a configuration and layers by digest. [Read]
// walks that tree from a [Reference] to the one manifest that fits a
// [Platform] and returns an [Image]: the exact configuration bytes, whose
// digest is the image id, and the layers as [Layer.Open] functions. Layers are
// never held in memory and archives are never extracted; a layer of an archive
// is read from the archive by its offset. A compressed archive has no offsets,
// so each of its layers costs a decompression up to where the layer begins.
//
// Nothing is taken on trust. Every blob is checked against the digest and the
// size by which it was named, while it is read: a reader of an altered or
// truncated layer ends in an error that names file and digest, never in a
// plain io.EOF. Counts and sizes that a stranger's image can grow are capped.
//
// Docker's media types are given as their OCI equivalents, for the bytes are
// the same and so the digests and the image id hold. A docker archive has no
// manifest of its own: its layers keep the bytes that the archive has, which
// docker writes uncompressed, because compressing them would give every layer
// a digest that nobody else has ever seen. Layers that must be fetched from
// elsewhere ("foreign" or non-distributable ones) are refused.
//
// Registries are read with the credentials of the docker configuration, over
// HTTPS; plain HTTP is spoken to this machine only.
//
// [WriteLayout] is the way back, for tools and tests.
package oci
