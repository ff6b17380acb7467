package attest

// BuildFacts is what a signed statement proves of how an image was built, after it
// was opened with an attested key (package provenance).
type BuildFacts struct {
	// ImageID is the digest of the image's configuration, "sha256:HEX".
	ImageID string
	// Statement is the digest of the statement, "sha256:HEX", as receipts name it.
	Statement string
	// Repository is the canonical URL, Branch the full name of what the commit was
	// reachable from, Path the directory. They are empty for uploaded files.
	Repository, Branch, Path string
	// Commit and Tree are git object ids, hex.
	Commit, Tree string
	// Upload is the digest of uploaded files; nobody can look where they are from.
	Upload string
	// Signer is who signed the commit with a key that the verifier has named; nil
	// where the verifier named none, or it was somebody else.
	Signer *BuildSigner
	// Runtime is what ran the build, such as "static".
	Runtime string
	// Logged is set where the measured log of this boot was shown, and has the build.
	Logged bool
	// Bases are all that went into the image besides the source and packages: base
	// images and toolchains.
	Bases []BuildBase
}

// BuildSigner is who signed a commit.
type BuildSigner struct {
	// Kind is "ssh" or "pgp", Key the fingerprint, Name who the list of keys says
	// that it is.
	Kind, Key, Name string
}

// BuildBase is a base image or toolchain.
type BuildBase struct {
	Name, URI string
	// SHA256 is its digest, "sha256:HEX"; empty where the builder gave none.
	SHA256 string
}
