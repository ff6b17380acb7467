package manifest

import (
	"fmt"
	"strconv"
)

// ports checks each port and that no two want the same thing. The containers
// of a pod share a network namespace, so two of them cannot listen on one port.
func (v *validator) ports(containers []Container) {
	var pod podPorts
	for i := range containers {
		list := containers[i].Ports
		at := fmt.Sprintf("containers[%d].ports", i)
		if len(list) > MaxPorts {
			v.addf(at, fmt.Sprintf("%d ports", len(list)), "at most %d", MaxPorts)
			continue
		}
		names := map[string]bool{}
		for j, p := range list {
			field := fmt.Sprintf("%s[%d]", at, j)
			v.onePort(field, p)
			if p.Name != "" && names[p.Name] {
				v.addf(field+".name", quoted(p.Name)+" a second time", "another name")
			}
			names[p.Name] = true
			pod.add(v, field, i, p)
		}
	}
}

func (v *validator) onePort(at string, p Port) {
	v.port(at+".targetPort", p.TargetPort)
	if p.Name != "" && !isLabel(p.Name, maxName) {
		v.addf(at+".name", quoted(p.Name), "a DNS label in lower case of at most %d characters", maxName)
	}
	switch p.Protocol {
	case HTTP:
		if p.Port != 0 {
			v.addf(at+".port", strconv.Itoa(int(p.Port)), "none: http is routed by host name; use targetPort")
		}
		if p.HostIP != "" {
			v.addf(at+".hostIP", quoted(p.HostIP), "none: http is routed by host name")
		}
		if p.Host != "" && !isHost(p.Host) {
			v.addf(at+".host", quoted(p.Host), "a host name in lower case such as app.example.org")
		}
	case TCP, UDP:
		if p.Host != "" {
			v.addf(at+".host", quoted(p.Host), "none: only http is routed by host name")
		}
		if p.HostIP != "" && !isHostIP(p.HostIP) {
			v.addf(at+".hostIP", quoted(p.HostIP), "an IP address in its shortest form")
		}
	default:
		v.addf(at+".protocol", quoted(string(p.Protocol)), "http, tcp or udp")
	}
}

// podPorts are the ports seen so far.
type podPorts struct {
	owner    map[string]int
	routes   map[string]bool
	hosts    map[string]bool
	external map[string][]string
}

func (s *podPorts) add(v *validator, at string, container int, p Port) {
	if s.owner == nil {
		s.owner, s.routes = map[string]int{}, map[string]bool{}
		s.hosts, s.external = map[string]bool{}, map[string][]string{}
	}
	target := fmt.Sprintf("%d/%s", p.TargetPort, p.Protocol.transport())
	if owner, taken := s.owner[target]; taken && owner != container {
		v.addf(at+".targetPort", target+" of another container", "another port: the containers of a pod share an address")
	}
	s.owner[target] = container
	if p.Protocol == HTTP {
		switch {
		case s.hosts[p.Host] && p.Host == "":
			v.addf(at, "a second http port without a host", "a host of your own for all but one http port")
		case s.hosts[p.Host]:
			v.addf(at+".host", quoted(p.Host)+" a second time", "another host")
		}
		s.hosts[p.Host] = true
		return
	}
	if p.Port == 0 {
		route := fmt.Sprintf("%s %s", target, p.HostIP)
		if s.routes[route] {
			v.addf(at, target+" a second time", "it once")
		}
		s.routes[route] = true
		return
	}
	external := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
	for _, ip := range s.external[external] {
		if ip == p.HostIP || ip == "" || p.HostIP == "" {
			v.addf(at+".port", external+" a second time", "another external port")
			break
		}
	}
	s.external[external] = append(s.external[external], p.HostIP)
}
