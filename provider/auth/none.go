package auth

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"apocryph/proto/status"
)

// fromAnyone is the principal where authentication is switched off. The address
// is a loopback one, but a browser on this machine calls it for any page that
// asks, and a name of a stranger may resolve to it. So the request has to name
// a loopback host (against DNS rebinding) and must not come from another origin
// (against requests that a page forges: a form with files needs no preflight).
func fromAnyone(r *http.Request) (Principal, error) {
	refusal := func(field, want string) error {
		e := status.New(status.PermissionDenied, "auth.origin", "without authentication this API is for programs on this machine")
		e.Faults = []status.Fault{{Field: field, Got: "another", Want: want}}
		return e.WithHint("configure authentication instead of --api-auth none, or call a loopback address from no web page")
	}
	if !isLoopback(hostname(r.Host)) {
		return Principal{}, refusal("Host", "localhost or a loopback address")
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "none", "same-origin":
	default:
		return Principal{}, refusal("Sec-Fetch-Site", "same-origin")
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return Principal{}, refusal("Origin", "this host")
		}
	}
	return Principal{Subject: "anyone", Via: ViaNone, Operator: true}, nil
}

// hostname is a host without its port and brackets.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// isLoopback reports whether a host is this machine without asking DNS (RFC
// 6761, 6.3, for the name).
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
