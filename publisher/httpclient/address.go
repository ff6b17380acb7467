package httpclient

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"apocryph/proto/status"
)

// maxAddress bounds an address, in bytes: it becomes part of error texts.
const maxAddress = 2048

// Address is where an API answers.
type Address struct {
	// scheme is "https", "http" or "unix"; host is for the first two, socket for
	// the last.
	scheme, host, socket string
}

const addressForms = "https://HOST[:PORT], http:// with a loopback address, or unix:/PATH"

// ParseAddress reads "https://HOST[:PORT]", "http://" with a loopback address, or
// "unix:PATH". Plain HTTP to any other machine is refused, since token and
// environment could be read on the way.
func ParseAddress(s string) (Address, error) {
	invalid := func(got, want string) (Address, error) {
		return Address{}, status.Invalid("api.address", "the API's address", []status.Fault{{Field: "api", Got: got, Want: want}})
	}
	if len(s) > maxAddress || strings.ContainsAny(s, "\x00\r\n") {
		return invalid("a text that is too long or has control characters", addressForms)
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		abs, err := filepath.Abs(path)
		if path == "" || err != nil {
			return invalid("no path", "the path of the provider's socket after unix:")
		}
		return Address{scheme: "unix", socket: abs}, nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return invalid("what is no URL of an API", addressForms)
	case u.User != nil:
		return invalid("a user name or password", "none: `publisher login` stores a token")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return invalid("a path or query", "only the address, as in https://api.example.org")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return invalid("plain http to "+u.Hostname(), "https://, since what is sent could be read on the way; http:// is for loopback addresses")
	}
	host := strings.ToLower(u.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; strings.HasSuffix(host, port) && u.Port() != "" {
		host = strings.TrimSuffix(host, port)
	}
	return Address{scheme: u.Scheme, host: strings.TrimSuffix(host, ":")}, nil
}

// String is the address in its one form: tokens are stored by it.
func (a Address) String() string {
	if a.scheme == "unix" {
		return "unix:" + a.socket
	}
	return a.scheme + "://" + a.host
}

// base is what paths are added to.
func (a Address) base() string {
	if a.scheme == "unix" {
		// No name is looked up: the host is what the server sees, and no other.
		return "http://localhost"
	}
	return a.String()
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// onlyLoopback refuses a connection elsewhere: names such as localhost are what
// this machine's files say.
func onlyLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if ip, ipErr := netip.ParseAddr(host); err != nil || ipErr != nil || !ip.IsLoopback() {
		return status.New(status.InvalidArgument, "api.address", "localhost is %s here, want a loopback address", address)
	}
	return nil
}

// here is the address to connect to: names below localhost are this machine, and
// are asked of nobody (RFC 6761, 6.3).
func here(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil && strings.HasSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), ".localhost") {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}
