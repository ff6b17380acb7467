package ingress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

func (a *assignment) assignPort(s slot, e *provider.Endpoint) {
	bind, ok := bindAddr(s.HostIP)
	if !ok {
		a.fault(status.InvalidArgument, s.field+".hostIP", strconv.Quote(s.HostIP), "an IP address")
		return
	}
	first, last := a.cfg.Ports[0], a.cfg.Ports[1]
	c := claim{s.Protocol, s.Port.Port}
	switch {
	case c.port != 0 && (c.port < first || c.port > last):
		a.fault(status.InvalidArgument, s.field+".port", strconv.Itoa(int(c.port)), fmt.Sprintf("%d-%d, or 0 for any", first, last))
		return
	case c.port != 0:
		if why := a.free(c, bind, true); why != "" {
			a.fault(status.Conflict, s.field+".port", fmt.Sprintf("%d/%s, %s", c.port, c.protocol, why), "another port, or 0 for any")
			return
		}
	case s.held != nil && s.held.Port >= first && s.held.Port <= last && a.free(claim{s.Protocol, s.held.Port}, bind, false) == "":
		c.port = s.held.Port
	default:
		if c, ok = a.pick(s, bind); !ok {
			a.fault(status.ResourceExhausted, s.field+".port", "none free", fmt.Sprintf("a free %s port in %d-%d", s.Protocol, first, last))
			return
		}
	}
	a.ports[c] = bind
	if count := a.heldPorts(); count > maxPortsPerPublisher {
		a.fault(status.ResourceExhausted, s.field+".port", fmt.Sprintf("%d ports of this publisher", count), fmt.Sprintf("at most %d", maxPortsPerPublisher))
		return
	}
	e.Port = c.port
	dial := bind
	if bind.IsValid() {
		e.HostIP = bind.String()
	} else {
		dial = a.httpAddr.Addr()
		if a.cfg.Advertise.IsValid() {
			dial = a.cfg.Advertise
		} else if dial.IsLoopback() {
			dial = advertised()
		}
	}
	e.Dial = netip.AddrPortFrom(dial, e.Port).String()
	e.URL = string(s.Protocol) + "://" + e.Dial
}

// bindAddr reads a hostIP; the zero address means all.
func bindAddr(hostIP string) (netip.Addr, bool) {
	if hostIP == "" {
		return netip.Addr{}, true
	}
	addr, err := netip.ParseAddr(hostIP)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	if addr = addr.Unmap(); addr.IsUnspecified() {
		return netip.Addr{}, true
	}
	return addr, true
}

// pick finds a free port. Where it starts is the pod's own, so that a provider
// that lost its state is likely to hand out the same ports again.
func (a *assignment) pick(s slot, bind netip.Addr) (claim, bool) {
	first, count := uint32(a.cfg.Ports[0]), uint32(a.cfg.Ports[1])-uint32(a.cfg.Ports[0])+1
	start := binary.BigEndian.Uint32(hashOf(string(a.pod.id), s.container, string(s.Protocol), strconv.Itoa(int(s.TargetPort)))) % count
	for n := range count {
		c := claim{s.Protocol, uint16(first + (start+n)%count)}
		if a.free(c, bind, true) == "" {
			return c, true
		}
	}
	return claim{}, false
}

// free says why a port can't be had, "" when it can. Ports that another
// program uses are found by listening for a moment, where probe is set.
func (a *assignment) free(c claim, bind netip.Addr, probe bool) string {
	if _, chosen := a.ports[c]; chosen {
		return "used twice in this manifest"
	}
	own := false
	for addr, owner := range a.claims[c] {
		switch {
		case owner == a.pod.id:
			own = true
		case addr == bind, !addr.IsValid(), !bind.IsValid():
			return "held by another pod"
		}
	}
	if own || !probe {
		return ""
	}
	if err := tryListen(c, bind); err != nil {
		return "which this machine does not give (another program uses it, or the address is not its own)"
	}
	return ""
}

func tryListen(c claim, bind netip.Addr) error {
	addr := listenAddr(bind, c.port)
	if c.protocol == manifest.UDP {
		conn, err := net.ListenPacket("udp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return listener.Close()
}

func listenAddr(bind netip.Addr, port uint16) string {
	if !bind.IsValid() {
		return ":" + strconv.Itoa(int(port))
	}
	return netip.AddrPortFrom(bind, port).String()
}

// heldPorts counts the publisher's mapped ports with those chosen now.
func (a *assignment) heldPorts() int {
	count := len(a.ports)
	for id, p := range a.pods {
		if p.publisher == a.publisher && id != a.pod.id {
			count += len(p.ports)
		}
	}
	return count
}
