package slug

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"apocryph/proto/status"
)

// Host is where a repository lives: the scheme of a slug.
type Host string

// The hosts. File is for operators who allow it.
const (
	GitHub Host = "gh"
	GitLab Host = "gl"
	Git    Host = "git+https"
	File   Host = "file"
)

// MaxLen bounds a slug, in bytes: what a stranger writes becomes an URL, an
// argument and a line of a log.
const MaxLen = 1024

// Slug names a source: a repository, and what of its history. Values come from
// [Parse] and compare with ==; the zero value names nothing.
type Slug struct {
	Host Host
	// Repo is "owner/repo" on GitHub, in lower case, "group/…/repo" on GitLab,
	// "HOST[:PORT]/PATH" for git+https, and an absolute path for file.
	Repo string
	// Ref is a branch, a tag, or a full or short commit id; empty is the
	// repository's default branch. refs/heads/NAME and refs/tags/NAME say which.
	Ref string
}

// The forms, as errors show them.
const (
	formGitHub = "gh:OWNER/REPO[#REF]"
	formGitLab = "gl:GROUP/REPO[#REF]"
	formGit    = "git+https://HOST[:PORT]/PATH[#REF]"
	formFile   = "file:///PATH[#REF]"
	formAny    = formGitHub + ", " + formGitLab + ", " + formGit + " or " + formFile
)

var (
	// ownerPattern is a GitHub login: at most 39 letters, digits and hyphens. An
	// underscore parts the short code of a managed user.
	ownerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,38}$`)
	// repoPattern is a GitHub repository's name, of at most 100 characters.
	repoPattern = regexp.MustCompile(`^[A-Za-z0-9._][A-Za-z0-9._-]{0,99}$`)
	// groupPattern is a path element of GitLab, of at most 255 characters.
	groupPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$`)
	// segmentPattern is a path element that needs no encoding in a URL.
	segmentPattern = regexp.MustCompile(`^[A-Za-z0-9._~+][A-Za-z0-9._~+-]{0,254}$`)
	labelPattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	portPattern    = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	digits         = regexp.MustCompile(`^[0-9]+$`)
)

// maxGroups bounds the path of a project on GitLab: 20 subgroups may be nested.
const maxGroups = 22

// Parse reads a slug. The error is invalid_argument, slug.invalid, and says
// what was got and what is wanted; it never repeats what may be a password.
func Parse(text string) (Slug, error) {
	s, f := parse(text)
	if f != nil {
		return Slug{}, status.Invalid("slug.invalid", "the slug", []status.Fault{*f})
	}
	return s, nil
}

func parse(text string) (Slug, *status.Fault) {
	// Before anything else, so that no other fault repeats the text.
	name, ref, hasRef := strings.Cut(text, "#")
	switch {
	case len(text) > MaxLen:
		return Slug{}, fault("slug", strconv.Itoa(len(text))+" bytes", "at most "+strconv.Itoa(MaxLen))
	case strings.Contains(name, "@"):
		return Slug{}, fault("slug", "a name with an @ in it", formAny+"; a user name or password never stands in a slug")
	}
	s := Slug{Host: GitHub, Ref: ref}
	var f *status.Fault
	switch {
	case strings.HasPrefix(name, "gh:"):
		s.Repo, f = parseGitHub(name[3:])
	case strings.HasPrefix(name, "gl:"):
		s.Host = GitLab
		s.Repo, f = parseGitLab(name[3:])
	case strings.HasPrefix(name, "git+https://"):
		s.Host = Git
		s.Repo, f = parseGit(name[len("git+https://"):])
	case strings.HasPrefix(name, "file://"):
		s.Host = File
		s.Repo, f = parseFile(name[len("file://"):])
	default:
		f = fault("slug", quote(text), formAny)
	}
	if f == nil && hasRef {
		f = checkRef(ref)
	}
	if f != nil {
		return Slug{}, f
	}
	return s, nil
}

func parseGitHub(s string) (string, *status.Fault) {
	owner, repo, ok := strings.Cut(s, "/")
	switch {
	case !ok || strings.Contains(repo, "/"):
		return "", fault("repository", quote(s), formGitHub)
	case !ownerPattern.MatchString(owner):
		return "", fault("repository", quote(owner)+" as its owner", "letters, digits and inner hyphens, at most 39")
	case !repoPattern.MatchString(repo):
		return "", fault("repository", quote(repo)+" as its name", "letters, digits, dots, hyphens and underscores, at most 100, no hyphen first")
	}
	// The host folds case: one repository is one slug.
	return strings.ToLower(s), checkName(repo)
}

func parseGitLab(s string) (string, *status.Fault) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > maxGroups {
		return "", fault("repository", quote(s), formGitLab+" with at most 20 subgroups")
	}
	for _, p := range parts {
		if !groupPattern.MatchString(p) {
			return "", fault("repository", quote(p)+" in its path", "letters, digits, dots, hyphens and underscores, no dot or hyphen first")
		}
		if f := checkName(p); f != nil {
			return "", f
		}
	}
	return s, nil
}

// checkName refuses what passes a pattern and is no name of a repository:
// GitHub and GitLab have none that end so, and with ".git" one would have two names.
func checkName(s string) *status.Fault {
	switch {
	case strings.Trim(s, ".") == "" || strings.Contains(s, ".."):
		return fault("repository", quote(s), "a name without dots in a row")
	case strings.HasSuffix(strings.ToLower(s), ".git"):
		return fault("repository", quote(s), "it without .git")
	}
	return nil
}

func parseGit(s string) (string, *status.Fault) {
	authority, path, ok := strings.Cut(s, "/")
	if !ok || path == "" {
		return "", fault("repository", quote(s), formGit)
	}
	host, port, hasPort := strings.Cut(strings.ToLower(authority), ":")
	if !isHost(host) {
		return "", fault("host", quote(host), "a host name or an IPv4 address")
	}
	if hasPort {
		n, _ := strconv.Atoi(port)
		if !portPattern.MatchString(port) || n > 65535 {
			return "", fault("port", quote(port), "a number from 1 to 65535")
		}
		if n != 443 { // that of https: one server, one name
			host += ":" + port
		}
	}
	return host + "/" + path, checkPath(path)
}

// isHost reports whether s, in lower case, is a host name (RFC 1123, 2.1) or an
// IPv4 address in its one usual form. 127.1 and 2130706433 are neither: some
// resolvers take them for addresses.
func isHost(s string) bool {
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if !labelPattern.MatchString(l) {
			return false
		}
	}
	last := labels[len(labels)-1]
	if digits.MatchString(last) || strings.HasPrefix(last, "0x") {
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is4()
	}
	return len(s) <= 253
}

func parseFile(s string) (string, *status.Fault) {
	if !strings.HasPrefix(s, "/") {
		return "", fault("path", quote(s), "an absolute path: "+formFile)
	}
	return s, checkPath(s[1:])
}

func checkPath(s string) *status.Fault {
	for p := range strings.SplitSeq(s, "/") {
		if !segmentPattern.MatchString(p) || strings.Trim(p, ".") == "" || strings.Contains(p, "..") {
			return fault("path", quote(p)+" in it", "letters, digits and . _ ~ + - between single slashes, no hyphen first, no dots in a row")
		}
	}
	return nil
}

// String is the one spelling of the slug, and "" for the zero value.
func (s Slug) String() string {
	if s.Host == "" {
		return ""
	}
	out := string(s.Host) + ":"
	if s.Host == Git || s.Host == File {
		out += "//"
	}
	out += s.Repo
	if s.Ref != "" {
		out += "#" + s.Ref
	}
	return out
}

func fault(field, got, want string) *status.Fault {
	return &status.Fault{Field: field, Got: got, Want: want}
}

// maxShown bounds, in bytes, how much of a text an error repeats.
const maxShown = 80

// quote makes s printable and short.
func quote(s string) string {
	if len(s) > maxShown {
		return strconv.QuoteToASCII(s[:maxShown]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
