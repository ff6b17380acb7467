package slug

import (
	"path"
	"strings"
)

// Bases are the addresses of the hosts that a slug names by two letters,
// without a slash at the end. An operator sets others for installations of
// their own.
type Bases struct {
	GitHub    string
	GitHubAPI string
	GitLab    string
}

// DefaultBases are the public GitHub and GitLab.
func DefaultBases() Bases {
	return Bases{GitHub: "https://github.com", GitHubAPI: "https://api.github.com", GitLab: "https://gitlab.com"}
}

// CloneURL is what git clones. It has no credentials.
func (s Slug) CloneURL(b Bases) string {
	switch s.Host {
	case GitHub, GitLab:
		return s.Canonical(b) + ".git"
	}
	return s.Canonical(b)
}

// Canonical is the repository's identity, such as
// https://github.com/owner/repo, which statements about it name: an URL
// without credentials and without a reference. It is "" for the zero value.
func (s Slug) Canonical(b Bases) string {
	switch s.Host {
	case GitHub:
		return strings.TrimRight(b.GitHub, "/") + "/" + s.Repo
	case GitLab:
		return strings.TrimRight(b.GitLab, "/") + "/" + s.Repo
	case Git:
		return "https://" + s.Repo
	case File:
		return "file://" + s.Repo
	}
	return ""
}

// maxName is the length of an app's name, in bytes: a DNS label that others are
// put behind.
const maxName = 40

// Name is a name for the app: the repository's, as a DNS label in lower case
// (RFC 1123, 2.1) of at most 40 characters.
func (s Slug) Name() string { return label(s.Repo) }

// label makes a DNS label of the last element of a path.
func label(p string) string {
	base := strings.TrimSuffix(strings.ToLower(path.Base(p)), ".git")
	var b strings.Builder
	for _, r := range base {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := b.String()
	name = strings.Trim(name[:min(len(name), maxName)], "-")
	if name == "" {
		return "app"
	}
	return name
}
