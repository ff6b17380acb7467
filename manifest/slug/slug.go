package slug

// Host is where a repository lives: the scheme of a slug.
type Host string

// The hosts. File is for operators who allow it.
const (
	GitHub Host = "gh"
	GitLab Host = "gl"
	Git    Host = "git+https"
	File   Host = "file"
)

// Slug names a source: a repository, and what of its history. Values come from
// [Parse]; the zero value names nothing.
type Slug struct {
	Host Host
	// Repo is "owner/repo" on GitHub, "group/…/repo" on GitLab, "HOST[:PORT]/PATH"
	// for git+https, and an absolute path for file.
	Repo string
	// Ref is a branch, a tag, or a full or short commit id; empty is the
	// repository's default branch.
	Ref string
}
