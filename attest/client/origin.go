package client

import (
	"net"
	"net/url"
	"strings"

	"apocryph/proto/status"
)

// origin is what a verification is about: one host at one port.
type origin struct{ scheme, host, port string }

// parseOrigin reads a URL; what follows the port does not matter.
func parseOrigin(text string) (origin, error) {
	bad := func(field, got, want string) error {
		return status.Invalid("client.url", "url", []status.Fault{{Field: field, Got: got, Want: want}}).
			WithHint("name an app as https://HOST or https://HOST:PORT")
	}
	u, err := url.Parse(text)
	if err != nil {
		return origin{}, bad("url", "something that is none", "https://HOST")
	}
	return originOf(u, bad)
}

func originOf(u *url.URL, bad func(field, got, want string) error) (origin, error) {
	o := origin{scheme: strings.ToLower(u.Scheme), host: normalHost(u.Hostname()), port: u.Port()}
	switch {
	case o.scheme != "https" && o.scheme != "http":
		return origin{}, bad("scheme", u.Scheme, "https, or http")
	case o.host == "" || u.Opaque != "":
		return origin{}, bad("host", "nothing", "the app's host name")
	case u.User != nil:
		return origin{}, bad("user", "a user before the host", "none: what comes before @ is not the host")
	}
	if o.port == "" {
		o.port = map[string]string{"https": "443", "http": "80"}[o.scheme]
	}
	return o, nil
}

// normalHost is a host name as claims and receipts have it.
func normalHost(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func (o origin) address() string { return net.JoinHostPort(o.host, o.port) }

// String has no port where it is the scheme's own.
func (o origin) String() string {
	if o.scheme == "https" && o.port == "443" || o.scheme == "http" && o.port == "80" {
		host := o.host
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return o.scheme + "://" + host
	}
	return o.scheme + "://" + o.address()
}

// isLocal reports whether a name is this machine by its ending (RFC 6761, 6.3).
// Many resolvers do not know that.
func isLocal(host string) bool {
	host = normalHost(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
