// Package public tells addresses on the Internet from those that lead to this
// machine and its neighbours: whoever connects to where a stranger says must not
// become the stranger's way into its own network (server-side request forgery).
package public

import (
	"net/netip"
	"slices"
)

// closed are the networks beside those that net/netip knows, by IANA's registries of
// special-purpose addresses. The last ones are IPv4 addresses in another form:
// NAT64, 6to4, Teredo.
var closed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
}

// Address reports whether a is one on the Internet.
func Address(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(closed, func(p netip.Prefix) bool { return p.Contains(a) })
}
