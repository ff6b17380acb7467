package provenance

import (
	"slices"
	"strings"
	"time"
)

// Build is what a statement says of one build: which commit became which image,
// by whom, and of what else.
type Build struct {
	// ID is the build's, a UUID; Builder is the provider, as a URI.
	ID, Builder string
	// Source is nil for files that were uploaded: nobody can look where they are from.
	Source *Source
	// Upload is the digest of uploaded files, "sha256:HEX"; empty with a Source.
	Upload string
	// Runtime, Entry and Parameters are all that the caller could choose besides
	// the source; they are complete.
	Runtime, Entry string
	Parameters     map[string]string
	// Argv is the image's command.
	Argv []string
	// Materials are what went into the image besides the source: base images,
	// toolchains, packages that lock files name.
	Materials []Material
	// ImageID is the digest of the image's configuration; Image is that of its
	// plain manifest. Both are "sha256:HEX", and are the statement's subjects.
	ImageID, Image string
	// Binary is the digest of the executable, where the build made one.
	Binary string
	// SBOM is the digest of the bill of materials.
	SBOM              string
	Started, Finished time.Time
}

// Source is a commit that the builder itself fetched.
type Source struct {
	// Repository is the canonical URL, Ref what was asked for, Branch the full name
	// of what the commit was reachable from, Path the directory that was built. An
	// http:// URL was asked without knowing who answers. A file:// URL is a directory of the builder's own: its name says nothing to
	// anybody else, the commit and its signature do.
	Repository, Ref, Branch, Path string
	// Commit and Tree are git object ids, hex. Tree is that of the whole commit, recomputed
	// from the files that were built.
	Commit, Tree string
	// Object is the raw commit object: it binds Tree to Commit, and has the signature.
	Object []byte
	// Signer is the fingerprint of the key that the builder verified the commit
	// with; empty where it demanded none.
	Signer string
	// Method is how the files came: "archive" or "clone".
	Method string
}

// Material is something that went into an image.
type Material struct {
	// Name is for people; URI says where it came from, a package URL where there is one.
	Name, URI string
	// Digest by algorithm, hex: "sha256" or "gitCommit".
	Digest map[string]string
}

// packageTypes are the types of package URLs (ECMA-427) of what lock files name.
// "oci" and "docker" are images, and not among them.
var packageTypes = []string{"pkg:npm/", "pkg:pypi/", "pkg:golang/"}

// isPackage tells a package, which the source names by its hash, from a base image or
// a toolchain. What is not known is a base: policies judge those.
func (m Material) isPackage() bool {
	return slices.ContainsFunc(packageTypes, func(t string) bool { return strings.HasPrefix(m.URI, t) })
}

// Unauthenticated reports whether the repository was asked over a connection of
// which nobody knew the other end: then somebody between could have said which commit a
// branch has. The commit is what it is.
func (s *Source) Unauthenticated() bool { return strings.HasPrefix(s.Repository, "http://") }
