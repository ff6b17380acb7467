package ingress

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// maxEndpoints bounds the endpoints of one pod, and maxPortsPerPublisher the
// mapped ports of one publisher, against one who takes the whole range.
const (
	maxEndpoints         = 64
	maxPortsPerPublisher = 256
)

// Assign chooses a host or port for each port of a manifest, and holds it for
// the pod until [Ingress.Withdraw] or a [Ingress.Publish] without it. What the
// pod held before (in this process, or by held after a restart) it keeps. URL
// and Dial are made anew, so that they fit the addresses of today. Until it is
// published a new host answers 502.
//
// All faults are reported at once; the class is that of the worst: a manifest
// that no provider would take (invalid_argument), a custom host that this one
// doesn't allow (permission_denied), a name or port that another holds
// (conflict), a range or share that is used up (resource_exhausted). On error
// nothing is held that was not held before.
func (i *Ingress) Assign(publisher provider.PublisherID, id provider.PodID, m *manifest.Manifest, held []provider.Endpoint) ([]provider.Endpoint, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	httpAddr, err := i.httpAddr()
	if err != nil {
		return nil, err
	}
	p := i.pods[id]
	if p == nil {
		p = newPod(id)
	}
	a := assignment{
		Ingress: i, pod: p, publisher: publisher, name: m.Name,
		httpAddr: httpAddr, scheme: i.scheme(), held: held, hosts: map[string]bool{}, ports: map[claim]netip.Addr{},
	}
	if len(held) == 0 {
		a.held = p.endpoints
	}
	a.run(m)
	if err := a.error(); err != nil {
		return nil, err
	}
	i.pods[id], p.publisher = p, publisher
	for _, e := range a.endpoints {
		i.hold(p, e)
	}
	p.pending = slices.Clone(a.endpoints)
	i.reroute(p)
	return a.endpoints, nil
}

// assignment is one run of Assign.
type assignment struct {
	*Ingress
	pod       *pod
	publisher provider.PublisherID
	name      string
	httpAddr  netip.AddrPort
	scheme    string
	held      []provider.Endpoint

	endpoints []provider.Endpoint
	// hosts and ports are those that this assignment has chosen.
	hosts  map[string]bool
	ports  map[claim]netip.Addr
	code   status.Code
	faults []status.Fault
}

// severity orders what is reported when there are faults of several classes.
var severity = map[status.Code]int{
	status.ResourceExhausted: 1, status.Conflict: 2, status.PermissionDenied: 3, status.InvalidArgument: 4,
}

var reasons = map[status.Code]string{
	status.ResourceExhausted: "ingress.exhausted", status.Conflict: "ingress.taken",
	status.PermissionDenied: "ingress.host", status.InvalidArgument: "ingress.ports",
}

func (a *assignment) fault(code status.Code, field, got, want string) {
	if severity[code] > severity[a.code] {
		a.code = code
	}
	a.faults = append(a.faults, status.Fault{Field: field, Got: got, Want: want})
}

func (a *assignment) error() error {
	if len(a.faults) == 0 {
		return nil
	}
	e := status.Invalid(reasons[a.code], "ports of the manifest", a.faults)
	e.Code = a.code
	return e
}

// slot is a port of the manifest with its place.
type slot struct {
	manifest.Port
	container, field string
	held             *provider.Endpoint
}

// run chooses first what is held or asked for, then the rest, so that a new
// port never takes the place of an old one.
func (a *assignment) run(m *manifest.Manifest) {
	var slots []slot
	for ci, c := range m.Containers {
		for pi, p := range c.Ports {
			slots = append(slots, slot{Port: p, container: c.Name, field: fmt.Sprintf("containers[%d].ports[%d]", ci, pi)})
		}
	}
	if len(slots) > maxEndpoints {
		a.fault(status.InvalidArgument, "containers", fmt.Sprintf("%d ports", len(slots)), fmt.Sprintf("at most %d", maxEndpoints))
		return
	}
	a.match(slots)
	a.endpoints = make([]provider.Endpoint, len(slots))
	for _, first := range [...]bool{true, false} {
		for n, s := range slots {
			if first != s.settled() {
				continue
			}
			e := provider.Endpoint{Container: s.container, Target: s.TargetPort, Protocol: s.Protocol}
			switch s.Protocol {
			case manifest.HTTP:
				a.assignHTTP(s, &e)
			case manifest.TCP, manifest.UDP:
				a.assignPort(s, &e)
			default:
				a.fault(status.InvalidArgument, s.field+".protocol", strconv.Quote(string(s.Protocol)), "http, tcp or udp")
			}
			a.endpoints[n] = e
		}
	}
}

// match finds the held endpoint of each slot; one serves one slot.
func (a *assignment) match(slots []slot) {
	used := make([]bool, len(a.held))
	for n := range slots {
		s := &slots[n]
		for h := range a.held {
			e := &a.held[h]
			if !used[h] && e.Container == s.container && e.Target == s.TargetPort && e.Protocol == s.Protocol {
				used[h], s.held = true, e
				break
			}
		}
	}
}

// settled reports whether the place is given by the manifest or by what is held.
func (s slot) settled() bool { return s.held != nil || s.Port.Port != 0 || s.Host != "" }

func (a *assignment) assignHTTP(s slot, e *provider.Endpoint) {
	switch {
	case s.Host != "":
		e.Host = s.Host
		if want, invalid := a.Ingress.hosts.refuses(s.Host); want != "" {
			code := status.PermissionDenied
			if invalid {
				code = status.InvalidArgument
			}
			a.fault(code, s.field+".host", strconv.Quote(s.Host), want)
			return
		}
	case s.held != nil && a.generated(s, s.held.Host):
		e.Host = s.held.Host
	default:
		if e.Host = HostName(a.publisher, a.name, a.cfg.Domain); a.hosts[e.Host] {
			e.Host = a.longName(s)
		}
		if !validHost(e.Host) {
			a.fault(status.InvalidArgument, "name", strconv.Quote(a.name),
				fmt.Sprintf("a label that makes a host name of at most %d characters a label, not %s", maxLabel, e.Host))
			return
		}
	}
	if owner, taken := a.names[e.Host]; taken && owner != a.pod.id {
		a.fault(status.Conflict, s.field+".host", strconv.Quote(e.Host), "a host that no other pod holds")
		return
	}
	if a.hosts[e.Host] {
		a.fault(status.InvalidArgument, s.field, strconv.Quote(e.Host), "another host or port name than the pod's other http ports")
		return
	}
	a.hosts[e.Host] = true
	e.Port = a.httpAddr.Port()
	e.Dial = a.httpAddr.String()
	e.URL = urlOf(a.scheme, e.Host, e.Port)
}

func urlOf(scheme, host string, port uint16) string {
	if port == defaultPort[scheme] {
		return scheme + "://" + host + "/"
	}
	return fmt.Sprintf("%s://%s:%d/", scheme, host, port)
}

// URL is what a person opens for a host name, empty while the ingress does not listen.
func (i *Ingress) URL(host string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	addr, err := i.httpAddr()
	if err != nil {
		return ""
	}
	return urlOf(i.scheme(), host, addr.Port())
}

// longName is the host of a further http port.
func (a *assignment) longName(s slot) string {
	port := s.Name
	if port == "" {
		port = strconv.Itoa(int(s.TargetPort))
	}
	return a.name + "-" + port + "-" + hostID(a.publisher, a.name) + "." + a.cfg.Domain
}

// generated reports whether host is one of the names that are made for s.
func (a *assignment) generated(s slot, host string) bool {
	return host == HostName(a.publisher, a.name, a.cfg.Domain) || host == a.longName(s)
}
