package oci

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"apocryph/p2p/public"
	"apocryph/proto/status"

	"github.com/google/go-containerregistry/pkg/name"
)

// NewPublicTransport returns a transport for references that strangers name: it
// connects to addresses on the Internet, and to the hosts in allow ("HOST", with a port where
// it is not 443) wherever they are. What counts is the address of each connection, also
// after a redirect, so no name leads elsewhere at the second look. It asks no proxy,
// which would look names up itself, and keeps no connection open between requests.
func NewPublicTransport(allow []string) *http.Transport {
	t := NewTransport()
	t.Proxy = nil
	t.DisableKeepAlives = true
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{Timeout: headerTimeout}
		if !slices.ContainsFunc(allow, func(h string) bool { return strings.EqualFold(withPort(h), addr) }) {
			host, _, _ := net.SplitHostPort(addr)
			d.Control = func(_, address string, _ syscall.RawConn) error { return onInternet(host, address) }
		}
		return d.DialContext(ctx, network, addr)
	}
	return t
}

// withPort is HOST:PORT.
func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "443")
}

// onInternet refuses an address that only this machine's network leads to.
func onInternet(host, address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !public.Address(a.Addr()) {
		return status.New(status.PermissionDenied, "image.registry_host", "the registry %s is in a private network", clip(host)).
			WithHint("the operator of the provider may allow it")
	}
	return nil
}

// Full is a registry reference with its registry and tag, such as
// "docker.io/library/python:3.12"; other references are as [Reference.String] has them.
func (r Reference) Full() string {
	if r.Transport != Registry {
		return r.String()
	}
	n, err := name.ParseReference(r.Name, name.WeakValidation)
	if err != nil {
		return r.Name
	}
	// The library writes Docker Hub's name as its API has it.
	return strings.Replace(n.Name(), "index.docker.io/", "docker.io/", 1)
}
