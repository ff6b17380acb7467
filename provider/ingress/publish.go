package ingress

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// retryStart is told to callers that come before the ingress listens.
	retryStart = time.Second
	// settleTime is how long Publish waits for requests that were on their way
	// to a backend when it was replaced.
	settleTime = time.Second
	// maxReason bounds an explanation in bytes: it may quote what an app wrote.
	maxReason = 300
)

// Publish replaces a pod's routes; backends are its replicas, chosen in turn. Without backends the endpoints answer why (HTTP) or
// close (TCP). New requests and connections go to the new backends from one
// instant on; those under way stay where they are, and when Publish returns
// the replaced backends have got, and answered by a header, every request that
// is to come to them (an app that takes more than a second for that is not
// waited for): they may be stopped. Endpoints that the pod held and that are
// not among these are given up. It ends what Explain said.
//
// A host or port of another pod is a conflict "ingress.taken"; a port that this
// machine does not give is unavailable "ingress.bind". On error everything is
// as before.
func (i *Ingress) Publish(id provider.PodID, endpoints []provider.Endpoint, backends []provider.Backend) error {
	addrs, err := parseBackends(backends)
	if err != nil {
		return err
	}
	settled, err := i.replace(id, endpoints, addrs, backends)
	if err != nil || settled == nil {
		return err
	}
	limit := time.NewTimer(settleTime)
	defer limit.Stop()
	select {
	case <-settled:
	case <-limit.C:
	}
	return nil
}

// replace is Publish without the wait. What it returns is closed when the
// replaced upstream is no longer needed; nil when there was none.
func (i *Ingress) replace(id provider.PodID, endpoints []provider.Endpoint, addrs []netip.Addr, backends []provider.Backend) (<-chan struct{}, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.phase == stopped {
		return nil, status.Wrap(errStopped, status.Unavailable, "ingress.stopped", "the ingress is stopping")
	}
	for _, e := range endpoints {
		if err := i.checkEndpoint(id, e); err != nil {
			return nil, err
		}
	}
	p := i.pods[id]
	if p == nil {
		p = newPod(id)
	}
	opened, err := i.open(p, endpoints)
	if err != nil {
		return nil, err
	}

	// Nothing fails from here on.
	old := p.upstream
	i.pods[id], p.upstream, p.endpoints = p, newUpstream(addrs, runsOf(addrs, backends)), slices.Clone(endpoints)
	p.pending = nil
	p.explain("")
	for _, e := range endpoints {
		i.hold(p, e)
	}
	i.drop(p, endpoints)
	i.aim(p, opened, addrs)
	i.reroute(p)
	if old == nil {
		return nil, nil
	}
	settled := old.retire()
	p.leave(old.trips.close())
	return settled, nil
}

func parseBackends(backends []provider.Backend) ([]netip.Addr, error) {
	addrs := make([]netip.Addr, len(backends))
	for n, b := range backends {
		addr, err := netip.ParseAddr(b.Addr)
		if err != nil {
			return nil, status.Wrap(err, status.InvalidArgument, "ingress.backend", "backend %q is no IP address", b.Addr)
		}
		addrs[n] = addr
	}
	return addrs, nil
}

func (i *Ingress) checkEndpoint(id provider.PodID, e provider.Endpoint) error {
	switch e.Protocol {
	case manifest.HTTP:
		if !validHost(e.Host) {
			return status.New(status.InvalidArgument, "ingress.host", "endpoint host %q is no host name", e.Host)
		}
	case manifest.TCP, manifest.UDP:
		if _, ok := bindAddr(e.HostIP); !ok || e.Port == 0 {
			return status.New(status.InvalidArgument, "ingress.ports", "endpoint %s %q port %d can't be bound", e.Protocol, e.HostIP, e.Port)
		}
	default:
		return status.New(status.InvalidArgument, "ingress.ports", "endpoint protocol %q, want http, tcp or udp", e.Protocol)
	}
	if i.taken(id, e) {
		what := e.Host
		if e.Protocol != manifest.HTTP {
			what = fmt.Sprintf("port %d/%s", e.Port, e.Protocol)
		}
		return status.New(status.Conflict, "ingress.taken", "%s is held by another pod", what)
	}
	return nil
}

// open binds the ports that are not bound yet.
func (i *Ingress) open(p *pod, endpoints []provider.Endpoint) (map[binding]*mapping, error) {
	opened := map[binding]*mapping{}
	for _, e := range endpoints {
		if e.Protocol == manifest.HTTP {
			continue
		}
		b := bindingOf(e)
		if p.mappings[b] != nil || opened[b] != nil {
			continue
		}
		m, err := i.newMapping(b)
		if err != nil {
			for _, m := range opened {
				m.close()
			}
			return nil, status.Wrap(err, status.Unavailable, "ingress.bind", "port %d/%s can't be bound", e.Port, e.Protocol).
				WithHint("another program on this machine uses it")
		}
		opened[b] = m
	}
	return opened, nil
}

// aim points the pod's mapped ports at new backends, starts those that are new
// and closes those that are no longer wanted.
func (i *Ingress) aim(p *pod, opened map[binding]*mapping, backends []netip.Addr) {
	wanted := map[binding]bool{}
	for _, e := range p.endpoints {
		if e.Protocol == manifest.HTTP {
			continue
		}
		b := bindingOf(e)
		wanted[b] = true
		m := p.mappings[b]
		if m == nil {
			m = opened[b]
			p.mappings[b] = m
		}
		p.leave(m.aim(e.Target, backends))
		if opened[b] != nil && i.phase == running {
			i.start(m)
		}
	}
	for b, m := range p.mappings {
		if !wanted[b] {
			m.close()
			delete(p.mappings, b)
		}
	}
}

// reroute replaces the pod's part of the routing table.
func (i *Ingress) reroute(p *pod) {
	routes := maps.Clone(*i.routes.Load())
	maps.DeleteFunc(routes, func(_ string, r *route) bool { return r.pod == p })
	for _, e := range p.endpoints {
		if e.Protocol == manifest.HTTP {
			routes[e.Host] = &route{pod: p, upstream: p.upstream, host: e.Host, container: e.Container, target: e.Target}
		}
	}
	for _, e := range p.pending {
		if e.Protocol == manifest.HTTP && routes[e.Host] == nil {
			routes[e.Host] = &route{pod: p, upstream: newUpstream(nil, nil), host: e.Host, container: e.Container, target: e.Target}
		}
	}
	i.routes.Store(&routes)
}

// Explain sets what is answered while no backend of the pod does, such as
// "container web exited with code 1"; "" takes it back. The text is public. An
// unknown pod is no error.
func (i *Ingress) Explain(id provider.PodID, reason string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if p := i.pods[id]; p != nil {
		p.explain(oneLine(reason))
	}
}

// Withdraw gives up everything of a pod: its routes, mapped ports with their
// connections, and names. HTTP requests under way may finish. An unknown pod is
// no error.
func (i *Ingress) Withdraw(id provider.PodID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.pods[id]
	if p == nil {
		return
	}
	p.endpoints, p.pending = nil, nil
	i.aim(p, nil, nil)
	i.reroute(p)
	i.drop(p, nil)
	if p.upstream != nil {
		p.upstream.retire()
	}
	delete(i.pods, id)
}

// oneLine makes text fit for one printable line.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return strings.TrimSpace(text)
}
