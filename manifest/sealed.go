package manifest

// Sealed is an image whose layers are encrypted, as files on one machine: what
// encrypting an image makes, and what is put on IPFS.
type Sealed struct {
	// Manifest is the exact bytes of the OCI manifest of the encrypted image.
	Manifest []byte
	// Config is the exact bytes of the plain image's configuration.
	Config []byte
	// Layers are the encrypted layers, in order.
	Layers []Blob
	// Image has Ref, EncryptedDigest, ImageID and KeyID set; the CID comes later.
	Image Image
	// Key is the revision's private key, PKCS #8 DER.
	Key []byte
	// ReusedBytes of ciphertext were kept from an earlier revision.
	ReusedBytes int64
}

// Blob is a file whose digest, "sha256:HEX", is known. Size is in bytes.
type Blob struct {
	Digest string
	Size   int64
	Path   string
}
