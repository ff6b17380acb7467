package providerd

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"apocryph/p2p/oci"
	"apocryph/p2p/public"
	"apocryph/proto/status"
)

// registries reads images that tenants name. The request comes from this machine,
// so it may not reach what only this machine can, and carries no credentials:
// those of the operator are not a tenant's.
type registries struct {
	// allowed are hosts, as in references, that may be private.
	allowed []string
}

func (s settings) registries() registries { return registries{s.ImageRegistries} }

func (r registries) read(ctx context.Context, ref oci.Reference, p oci.Platform) (*oci.Image, error) {
	opts := oci.Options{Platform: p, Anonymous: true}
	if host, _, _ := strings.Cut(ref.String(), "/"); !slices.Contains(r.allowed, host) {
		opts.Transport = publicOnly()
	}
	return oci.Read(ctx, ref, opts)
}

// publicOnly reaches public addresses alone, whatever a name resolves to.
func publicOnly() *http.Transport {
	d := net.Dialer{Timeout: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if ip := at.Addr().Unmap(); !public.Address(ip) {
			return status.New(status.PermissionDenied, "image.registry_private", "the registry is at %s, which is not public", ip).
				WithHint("its operator can allow it with --image-registry HOST[:PORT]")
		}
		return nil
	}}
	t := oci.NewTransport()
	// A proxy would connect in our place.
	t.Proxy, t.DialContext = nil, d.DialContext
	return t
}
