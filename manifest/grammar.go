package manifest

import (
	"net/netip"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	labelPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	// envPattern is that of Kubernetes for environment variables.
	envPattern = regexp.MustCompile(`^[-._A-Za-z][-._A-Za-z0-9]*$`)
	// extendedPattern is a qualified name, "vendor.domain/resource".
	extendedPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)
	digestPattern   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	keyIDPattern    = regexp.MustCompile(`^[A-Za-z0-9._:+/=-]+$`)
	allDigits       = regexp.MustCompile(`^[0-9]+$`)
)

// isLabel reports whether s is a DNS label (RFC 1123, 2.1) in lower case.
func isLabel(s string, limit int) bool { return len(s) <= limit && labelPattern.MatchString(s) }

func isEnvName(s string) bool { return len(s) <= 256 && envPattern.MatchString(s) }

func isExtendedName(s string) bool { return len(s) <= 128 && extendedPattern.MatchString(s) }

// isHost reports whether s is a full host name in lower case: two labels or
// more, the last not a number, so that it is no address.
func isHost(s string) bool {
	labels := strings.Split(s, ".")
	if len(s) > 253 || len(labels) < 2 || allDigits.MatchString(labels[len(labels)-1]) {
		return false
	}
	for _, l := range labels {
		if !isLabel(l, 63) {
			return false
		}
	}
	return true
}

// isHostIP reports whether s is an address to listen on, as netip writes it.
func isHostIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.String() == s && a.Zone() == "" && !a.IsMulticast() && !a.Is4In6()
}

// isCleanPath reports whether p is absolute and has no ".", ".." or doubled slash.
func isCleanPath(p string) bool {
	return len(p) <= maxPath && path.IsAbs(p) && path.Clean(p) == p && isText(p, "")
}

// within reports whether p is dir or below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// isText reports whether s is UTF-8 without control characters but those allowed.
func isText(s, allowed string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune(allowed, r)
	}) < 0
}

// known reports whether p is a protocol of this version.
func (p Protocol) known() bool { return p == HTTP || p == TCP || p == UDP }

// transport is what the kernel sees: HTTP comes over TCP.
func (p Protocol) transport() Protocol {
	if p == HTTP {
		return TCP
	}
	return p
}
