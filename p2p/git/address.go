package git

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"apocryph/p2p/public"
	"apocryph/proto/status"
)

// pin finds the addresses of a repository's host, and returns them as git's
// http.curloptResolve. A stranger names the host: were it looked up by git, its
// name could lead to what only this machine reaches, at the second look at the
// latest. Hosts that the operator names need no pin, "".
func (f *Fetcher) pin(ctx context.Context, repository string) (string, error) {
	u, err := url.Parse(repository)
	if err != nil || u.Scheme == "file" || f.named(u) {
		return "", err
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "443"
	}
	found, err := f.cfg.Lookup(ctx, host)
	if err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		var unknown *net.DNSError
		if errors.As(err, &unknown) && unknown.IsNotFound {
			return "", status.Wrap(err, status.InvalidArgument, ReasonRepository, "there is no host %q", host)
		}
		return "", status.Wrap(err, status.Unavailable, ReasonUnavailable, "the name of the host %q cannot be looked up", host)
	}
	var pinned []string
	for _, a := range found {
		if !public.Address(a) {
			return "", status.New(status.PermissionDenied, ReasonHost, "the host %q is in a private network", host).
				WithHint("the operator of the provider may allow it")
		}
		text := a.Unmap().String()
		if strings.Contains(text, ":") {
			text = "[" + text + "]"
		}
		pinned = append(pinned, text)
	}
	if len(pinned) == 0 {
		return "", status.New(status.InvalidArgument, ReasonRepository, "the host %q has no address", host)
	}
	return host + ":" + port + ":" + strings.Join(pinned, ","), nil
}

// named reports whether the operator configured the host of a URL.
func (f *Fetcher) named(u *url.URL) bool {
	for _, base := range []string{f.cfg.Bases.GitHub, f.cfg.Bases.GitLab} {
		if b, err := url.Parse(base); err == nil && b.Host != "" && b.Scheme == u.Scheme && strings.EqualFold(b.Host, u.Host) {
			return true
		}
	}
	return slices.ContainsFunc(f.cfg.AllowHosts, func(h string) bool { return strings.EqualFold(h, u.Host) })
}

// lookup asks the machine's resolver.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
