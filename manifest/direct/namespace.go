package direct

import (
	"regexp"

	"apocryph/proto/strictjson"
)

const (
	// MaxNamespace is the length of a namespace in bytes, that of a DNS label: host
	// names have it as a part of one, with hyphens for the dots.
	MaxNamespace = 63
	// NamespacePattern is that of a namespace, as a regular expression: DNS labels in
	// lower case (RFC 1123, 2.1), with dots between them.
	NamespacePattern = `^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`
	// WantNamespace says so to people.
	WantNamespace = "DNS labels in lower case with dots between them, such as shop or shop.main, at most 63 characters in all"
)

var namespacePattern = regexp.MustCompile(NamespacePattern)

// IsNamespace reports whether s can be the name of a namespace. The dots mean
// nothing: no right in "shop" is one in "shop.main".
func IsNamespace(s string) bool { return len(s) <= MaxNamespace && namespacePattern.MatchString(s) }

func (r *reader) namespace(v strictjson.Value, s string) {
	if !IsNamespace(s) {
		r.refuse(v, quoted(s), WantNamespace)
	}
}
