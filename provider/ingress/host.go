package ingress

import (
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"strings"

	"apocryph/provider"
)

const (
	// maxHost is the longest host name in characters (RFC 1035, 2.3.4, without
	// the root's dot), maxLabel the longest label.
	maxHost  = 253
	maxLabel = 63
	// idLength is in characters of 5 bits. A publisher who searches for a name
	// that collides with another's does 2^40 hashes for nothing: the first
	// holder keeps it.
	idLength = 8
)

// HostName is the generated host of a publisher's pod: NAME-ID.DOMAIN, where ID
// is the first 8 characters of the lower-case base32 (RFC 4648) of
// SHA-256(publisher || 0x00 || name). It is the same at every provider with
// that domain.
func HostName(publisher provider.PublisherID, name, domain string) string {
	return name + "-" + hostID(publisher, name) + "." + domain
}

func hostID(publisher provider.PublisherID, name string) string {
	sum := sha256.Sum256([]byte(string(publisher) + "\x00" + name))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))[:idLength]
}

// parseHost reads a Host header: a host name or address with an optional port.
// The name comes back in lower case, without port and final dot.
func parseHost(header string) (host string, ok bool) {
	if strings.HasPrefix(header, "[") {
		end := strings.IndexByte(header, ']')
		if end < 0 || !validPort(header[end+1:]) {
			return "", false
		}
		addr, err := netip.ParseAddr(header[1:end])
		return addr.String(), err == nil && addr.Is6() && addr.Zone() == ""
	}
	host = header
	if colon := strings.IndexByte(header, ':'); colon >= 0 {
		if !validPort(header[colon:]) {
			return "", false
		}
		host = header[:colon]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host, validHost(host)
}

// validPort accepts "" and ":" with up to five digits.
func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) > 6 {
		return false
	}
	return strings.Trim(s[1:], "0123456789") == ""
}

// validHost accepts lower-case host names (RFC 952, RFC 1123 2.1) of any number
// of labels.
func validHost(host string) bool {
	if host == "" || len(host) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

func validLabel(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, c := range []byte(label) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// under reports whether host is domain or below it.
func under(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// hostPolicy decides which custom hosts a publisher may ask for.
type hostPolicy struct {
	domain   string
	patterns []string
}

// refuses says why a custom host is not allowed; "" when it is. invalid is set
// when no provider would allow it.
func (p hostPolicy) refuses(host string) (want string, invalid bool) {
	_, err := netip.ParseAddr(host)
	switch {
	case !validHost(host) || err == nil || !strings.Contains(host, "."):
		return "a lower-case host name such as shop.example.org", true
	case under(host, p.domain):
		return "no name under " + p.domain + ", those are generated", false
	case under(host, "localhost"):
		return "a public host name", true
	}
	for _, pattern := range p.patterns {
		if matches(pattern, host) {
			return "", false
		}
	}
	if len(p.patterns) == 0 {
		return "none, this provider allows no custom hosts", false
	}
	return "a host that matches " + strings.Join(p.patterns, ", "), false
}

// matches knows "*" for every host, "*.example.org" for those below
// example.org, and exact names.
func matches(pattern, host string) bool {
	if pattern == "*" {
		return true
	}
	if parent, ok := strings.CutPrefix(pattern, "*."); ok {
		return host != parent && under(host, parent)
	}
	return pattern == host
}
