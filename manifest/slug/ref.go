package slug

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"apocryph/proto/status"
)

// maxRef bounds a reference, in bytes: it is a file's name in a repository.
const maxRef = 255

var (
	fullSHA  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	maybeSHA = regexp.MustCompile(`^[0-9a-f]{4,40}$`)
	// anySHA is a full commit id in any case.
	anySHA = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)
	// proposals are what git's search order makes of refs/pull/1/head and of
	// GitLab's refs/merge-requests/1/head when refs/ is left out (gitrevisions(7)).
	proposals = regexp.MustCompile(`^(pull|merge-requests|pull-requests|changes)/[0-9]+/`)
	// pseudo are the references beside branches and tags: HEAD, FETCH_HEAD.
	pseudo = regexp.MustCompile(`^[A-Z_]*HEAD$`)
)

// FullSHA reports whether ref is a whole commit id: 40 hexadecimal digits in
// lower case. A branch may bear such a name: what resolves it decides that an id wins.
func FullSHA(ref string) bool { return fullSHA.MatchString(ref) }

// MaybeSHA reports whether ref can be a commit id, whole or shortened: 4 to 40
// hexadecimal digits in lower case. It can be a branch or a tag as well.
func MaybeSHA(ref string) bool { return maybeSHA.MatchString(ref) }

// CheckRef reports what is wrong with a reference, as git-check-ref-format(1)
// does and stricter: it may be a commit id or the name of a branch or a tag,
// bare or below refs/heads or refs/tags. The error is as that of [Parse].
func CheckRef(ref string) error {
	if f := checkRef(ref); f != nil {
		return status.Invalid("slug.invalid", "the reference", []status.Fault{*f})
	}
	return nil
}

func checkRef(ref string) *status.Fault {
	name := ref
	for _, kind := range []string{"refs/heads/", "refs/tags/"} {
		if after, ok := strings.CutPrefix(ref, kind); ok {
			name = after
		}
	}
	refuse := func(want string) *status.Fault { return fault("ref", quote(ref), want) }
	switch {
	case ref == "":
		return fault("ref", "nothing", "a branch, a tag or a commit id after the #")
	case len(ref) > maxRef:
		return fault("ref", strconv.Itoa(len(ref))+" bytes", "at most "+strconv.Itoa(maxRef))
	case !utf8.ValidString(ref):
		return refuse("UTF-8")
	case name == "refs" || strings.HasPrefix(name, "refs/"), proposals.MatchString(name):
		return refuse("a branch, a tag or a commit id: other references hold what strangers propose")
	case pseudo.MatchString(name):
		return refuse("a branch, a tag or a commit id; none at all is the default branch")
	case anySHA.MatchString(ref) && !FullSHA(ref):
		return refuse("a commit id in lower case")
	case name == "@" || strings.Contains(name, "@{"):
		return refuse("a name that is not @ and has no @{")
	case strings.Contains(name, ".."):
		return refuse("a name without two dots in a row")
	case strings.HasSuffix(name, "."):
		return refuse("a name that does not end with a dot")
	}
	for _, r := range name {
		if r == ' ' || !unicode.IsPrint(r) || strings.ContainsRune(`~^:?*[\`, r) {
			return refuse(`a name without blanks, control characters and ~ ^ : ? * [ \`)
		}
	}
	for c := range strings.SplitSeq(name, "/") {
		switch {
		case c == "":
			return refuse("single slashes between its parts")
		case strings.HasPrefix(c, "-"), strings.HasPrefix(c, "."):
			return refuse("no part that begins with a hyphen or a dot")
		case strings.HasSuffix(c, ".lock"):
			return refuse("no part that ends with .lock")
		}
	}
	return nil
}
