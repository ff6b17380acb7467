package git

import (
	"apocryph/attest/commit"
	"apocryph/manifest/slug"
)

// Want says which commit of which repository.
type Want struct {
	Slug slug.Slug
	// Branch is the one that the commit must be reachable from. Empty: the slug's
	// ref where that is a branch or a tag, else the repository's default branch.
	Branch string
	// OfDefault makes an empty Branch the repository's default branch, whatever the ref is.
	OfDefault bool
	// OnlyBranches refuses tags: the ref is a branch, or a commit.
	OnlyBranches bool
	// Credential is nil for a public repository.
	Credential *Credential
	// Submodules are fetched where asked for; without it a tree that has any is refused.
	Submodules bool
}

// Credential opens a private repository. It is never part of an error or a log.
type Credential struct {
	// Username may be empty, where the host takes a token alone.
	Username, Password string
}

// String hides the credential from formatted output.
func (Credential) String() string { return "git.Credential(hidden)" }

// GoString hides it from %#v.
func (c Credential) GoString() string { return c.String() }

// Resolved is one commit, found once: every later step uses its id, whatever the
// branch does meanwhile.
type Resolved struct {
	// Repository is the canonical URL, without a credential.
	Repository string
	// Ref is what was asked for; Branch is what the commit is reachable from, full
	// ("refs/heads/main"), and Head the id that it had.
	Ref, Branch, Head string
	// Raw is the commit object, whose SHA-1 (with its header) is Commit.ID.
	Raw    []byte
	Commit commit.Commit
}

// Fetched says how a tree came.
type Fetched struct {
	// Method is "archive" or "clone"; Reason says why it was no archive.
	Method, Reason string
	// Bytes were moved.
	Bytes int64
}
