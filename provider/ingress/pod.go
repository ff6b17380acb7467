package ingress

import (
	"crypto/sha256"
	"net"
	"net/netip"
	"sync/atomic"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// claim is an external port.
type claim struct {
	protocol manifest.Protocol
	port     uint16
}

// binding is a claim on one address.
type binding struct {
	claim
	bind netip.Addr
}

// pod is what a pod holds and where its traffic goes. All but the atomics is
// guarded by the ingress's lock.
type pod struct {
	id        provider.PodID
	publisher provider.PublisherID
	// hosts and ports are held, endpoints and mappings are published, pending
	// was assigned since.
	hosts     map[string]bool
	ports     map[binding]bool
	endpoints []provider.Endpoint
	pending   []provider.Endpoint
	mappings  map[binding]*mapping
	upstream  *upstream
	// leaving are closed when what led to replaced backends has ended.
	leaving []<-chan struct{}

	// reason is answered while no backend does.
	reason atomic.Pointer[string]
	// inFlight counts requests, for their bound.
	inFlight atomic.Int64
}

func newPod(id provider.PodID) *pod {
	p := &pod{id: id, hosts: map[string]bool{}, ports: map[binding]bool{}, mappings: map[binding]*mapping{}}
	p.explain("")
	return p
}

func (p *pod) explain(reason string) { p.reason.Store(&reason) }

func (p *pod) closeIdle() {
	if p.upstream != nil {
		p.upstream.closeIdle()
	}
}

// hold writes down that a pod holds an endpoint. The caller has checked it.
func (i *Ingress) hold(p *pod, e provider.Endpoint) {
	if e.Protocol == manifest.HTTP {
		i.names[e.Host], p.hosts[e.Host] = p.id, true
		return
	}
	b := bindingOf(e)
	if i.claims[b.claim] == nil {
		i.claims[b.claim] = map[netip.Addr]provider.PodID{}
	}
	i.claims[b.claim][b.bind], p.ports[b] = p.id, true
}

// drop gives up what a pod holds, except what keep has.
func (i *Ingress) drop(p *pod, keep []provider.Endpoint) {
	hosts, ports := map[string]bool{}, map[binding]bool{}
	for _, e := range keep {
		if e.Protocol == manifest.HTTP {
			hosts[e.Host] = true
		} else {
			ports[bindingOf(e)] = true
		}
	}
	for host := range p.hosts {
		if !hosts[host] {
			delete(p.hosts, host)
			delete(i.names, host)
		}
	}
	for b := range p.ports {
		if ports[b] {
			continue
		}
		delete(p.ports, b)
		if delete(i.claims[b.claim], b.bind); len(i.claims[b.claim]) == 0 {
			delete(i.claims, b.claim)
		}
	}
}

// bindingOf reads a TCP or UDP endpoint; its HostIP was checked by Assign.
func bindingOf(e provider.Endpoint) binding {
	bind, _ := bindAddr(e.HostIP)
	return binding{claim{e.Protocol, e.Port}, bind}
}

// taken reports whether another pod holds an endpoint.
func (i *Ingress) taken(id provider.PodID, e provider.Endpoint) bool {
	if e.Protocol == manifest.HTTP {
		owner, held := i.names[e.Host]
		return held && owner != id
	}
	b := bindingOf(e)
	for addr, owner := range i.claims[b.claim] {
		if owner != id && (addr == b.bind || !addr.IsValid() || !b.bind.IsValid()) {
			return true
		}
	}
	return false
}

// httpAddr is where clients reach the HTTPS listener, or that of HTTP where
// there is no TLS.
func (i *Ingress) httpAddr() (netip.AddrPort, error) {
	text, bound := i.cfg.Listen, i.addr
	if i.cfg.ListenTLS != "" {
		text, bound = i.cfg.ListenTLS, i.tls
	}
	if bound != nil {
		text = bound.String()
	}
	addr, err := net.ResolveTCPAddr("tcp", text)
	if err != nil || addr.Port == 0 {
		return netip.AddrPort{}, status.New(status.Unavailable, "ingress.not_ready", "the ingress does not listen yet").WithRetryAfter(retryStart)
	}
	ip := addr.AddrPort().Addr().Unmap()
	if !ip.IsValid() || ip.IsUnspecified() {
		if ip = i.cfg.Advertise; !ip.IsValid() {
			ip = advertised()
		}
	}
	return netip.AddrPortFrom(ip, uint16(addr.Port)), nil
}

// advertised is this machine's first global unicast address, IPv4 before IPv6,
// and loopback where there is none.
func advertised() netip.Addr {
	best := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return best
	}
	for _, a := range addrs {
		ipNet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(ipNet.IP)
		if ip = ip.Unmap(); !ok || !ip.IsGlobalUnicast() {
			continue
		}
		if ip.Is4() {
			return ip
		}
		if best.IsLoopback() {
			best = ip
		}
	}
	return best
}

// hashOf is the SHA-256 of its parts, each ended by a zero byte.
func hashOf(parts ...string) []byte {
	h := sha256.New()
	for _, part := range parts {
		_, _ = h.Write(append([]byte(part), 0)) // a hash never returns an error
	}
	return h.Sum(nil)
}
