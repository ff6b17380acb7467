package manifest

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"apocryph/manifest/internal/strictyaml"
)

type placedPort struct {
	Port
	node node
}

// portDraft is a port whose defaults are not filled in.
type portDraft struct {
	Port
}

const portForms = `a target port, "EXTERNAL:TARGET", either with /tcp or /udp, or "TARGET/http"`

var shortPort = regexp.MustCompile(`^(?:([0-9]{1,5}):)?([0-9]{1,5})(?:/([A-Za-z]+))?$`)

var portTable = strictyaml.Table[portDraft]{Fields: []strictyaml.Field[portDraft]{
	{
		Name: "port", Schema: uintSchema(0, 65535), Doc: "External port; 0 or nothing to have one assigned. For http the same as targetPort.",
		Set: func(d *reader, n node, p *portDraft) { p.Port.Port = readPort(d, n, 0) },
	},
	{
		Name: "targetPort", Schema: uintSchema(1, 65535), Doc: "The port that the container listens on. Default port.",
		Set: func(d *reader, n node, p *portDraft) { p.TargetPort = readPort(d, n, 1) },
	},
	{
		Name: "protocol", Schema: enumSchema("tcp", "udp", "http"), Doc: "Default tcp, or http where there is a host.",
		Set: func(d *reader, n node, p *portDraft) {
			s, ok := d.String(n)
			if p.Protocol = Protocol(strings.ToLower(s)); ok && !p.Protocol.known() {
				d.Refuse(n, n.Shown(), "http, tcp or udp")
			}
		},
	},
	{
		Name: "hostIP", Schema: textSchema(), Doc: "The external address, of a provider with several.",
		Set: func(d *reader, n node, p *portDraft) {
			s, _ := d.String(n)
			if a, err := netip.ParseAddr(s); err == nil {
				s = a.String()
			}
			p.HostIP = s
		},
	},
	{
		Name: "name", Schema: labelSchema(maxName), Doc: "A name for the port, unique in the container.",
		Set: func(d *reader, n node, p *portDraft) { p.Name, _ = d.String(n) },
	},
	{
		Name: "host", Schema: textSchema(), Doc: "A host name of your own; http only.",
		Set: func(d *reader, n node, p *portDraft) { p.Host = readHost(d, n) },
	},
}}

func readPort(d *reader, n node, low uint64) uint16 {
	v, _ := d.Uint(n, low, 65535)
	return uint16(v)
}

// readHost accepts the final dot and the capitals that host names may have.
func readHost(d *reader, n node) string {
	s, _ := d.String(n)
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

func readPorts(d *reader, n node, c *container) {
	for _, e := range d.List(n, MaxPorts) {
		var p portDraft
		if e.IsScalar() {
			p.short(d, e)
		} else {
			p.long(d, e)
		}
		c.ports = append(c.ports, placedPort{p.Port, e})
	}
}

func (p *portDraft) short(d *reader, n node) {
	s, ok := d.Word(n)
	if !ok {
		return
	}
	m := shortPort.FindStringSubmatch(s)
	if m == nil {
		d.Refuse(n, n.Shown(), portForms)
		return
	}
	p.Protocol = TCP
	if m[3] != "" {
		p.Protocol = Protocol(strings.ToLower(m[3]))
	}
	external, externalErr := strconv.ParseUint("0"+m[1], 10, 16)
	target, targetErr := strconv.ParseUint(m[2], 10, 16)
	switch {
	case !p.Protocol.known(), externalErr != nil, targetErr != nil, target == 0, p.Protocol == HTTP && m[1] != "":
		d.Refuse(n, n.Shown(), portForms)
	}
	p.Port.Port, p.TargetPort = uint16(external), uint16(target)
}

func (p *portDraft) long(d *reader, n node) {
	fields := portTable.Read(d, n, p)
	if p.Protocol == "" {
		if p.Protocol = TCP; p.Host != "" {
			p.Protocol = HTTP
		}
	}
	if _, given := fields["targetPort"]; !given {
		if p.TargetPort = p.Port.Port; p.Protocol == HTTP {
			p.Port.Port = 0
		}
		if p.TargetPort == 0 && fields != nil {
			d.RefuseField(n, "targetPort", "nothing", "the port that the container listens on")
		}
	}
}

// finishHost gives the container's host to its one http port.
func (c *container) finishHost(d *reader) {
	n, given := c.fields["host"]
	if !given {
		return
	}
	var http *placedPort
	for i := range c.ports {
		if c.ports[i].Protocol != HTTP {
			continue
		}
		if http != nil {
			d.Refuse(n, "a host for several http ports", "host in the entry of one port")
			return
		}
		http = &c.ports[i]
	}
	switch {
	case http == nil:
		d.Refuse(n, "a host without an http port", `"port: NUMBER" beside it`)
	case http.Host != "":
		d.Refuse(n, "a second host for the port", "one host")
	default:
		http.Host = c.host
	}
}
