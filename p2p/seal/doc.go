// Package seal encrypts images for deployment, and needs no container daemon.
// A publisher seals what it deploys to others; a provider seals what was
// uploaded to it, so that both end in the same image.
//
// The format is ocicrypt's, which containerd's imgcrypt, skopeo and buildah
// open. Each layer is encrypted with AES-256-CTR and authenticated with
// HMAC-SHA-256 under a random key of its own; its media type gains the suffix
// "+encrypted". The layer key is wrapped in a JSON Web Encryption (RFC 7516)
// for the revision's public key, EC P-256 with ECDH-ES+A256KW, and travels in
// the annotation org.opencontainers.image.enc.keys.jwe of the layer's
// descriptor; the public cipher options are in
// org.opencontainers.image.enc.pubopts. RSA is never used: ocicrypt would wrap
// with OAEP over SHA-1.
//
// Every [Sealer.Seal] makes a new key pair. Its private half is in the result
// and nowhere else. What was encrypted once is not encrypted again: the
// [Cache] remembers for a plain layer the ciphertext and the layer key, so that
// an update wraps that key anew and moves only new layers. Who opened one
// revision of a layer can therefore open the same layer in a later one, which
// tells him nothing that he did not have. The manifest of a revision has no
// wrapping but its own, so an older revision's key does not open it.
//
// Layers are encrypted as they are. Compressing a plain tar here would change
// its digest and so what the image's configuration says of it; diff ids and the
// image id hold because nothing is touched.
//
// The configuration stays readable, as in every encrypted OCI image: secrets do
// not belong in an image's environment.
//
// A layer is written to a temporary file, synced, and renamed to the name of
// its digest. Killed at any moment, this leaves a temporary file, which the next
// Seal removes, or a cache entry without a file, which counts for nothing.
package seal
