package manifest

import (
	"path"
	"regexp"
	"strconv"
	"time"

	"apocryph/manifest/internal/strictyaml"
)

type healthDraft struct {
	Health
	// http is set where an http check was asked for; its port may be missing.
	http node
}

var healthTable = strictyaml.Table[healthDraft]{Fields: []strictyaml.Field[healthDraft]{
	{
		Name: "http", Schema: httpSchema(), Doc: `Passes on a status from 200 to 399: a path, "PORT/path" or {path, port}.`,
		Set: readHTTPCheck,
	},
	{
		Name: "tcp", Schema: uintSchema(1, 65535), Doc: "Passes when this port accepts a connection.",
		Set: func(d *reader, n node, h *healthDraft) { h.TCP = &TCPCheck{Port: readPort(d, n, 1)} },
	},
	{
		Name: "command", Schema: commandSchema(), Doc: "Passes when this command exits with 0.",
		Set: func(d *reader, n node, h *healthDraft) { h.Command = readWords(d, n) },
	},
	{
		Name: "interval", Schema: durationSchema(), Doc: "Between two checks. Default 10s.",
		Set: func(d *reader, n node, h *healthDraft) { readDuration(d, n, &h.Interval) },
	},
	{
		Name: "timeout", Schema: durationSchema(), Doc: "For one check. Default 2s.",
		Set: func(d *reader, n node, h *healthDraft) { readDuration(d, n, &h.Timeout) },
	},
	{
		Name: "start", Schema: durationSchema(), Doc: "Until the first success. Default 60s.",
		Set: func(d *reader, n node, h *healthDraft) { readDuration(d, n, &h.Start) },
	},
	{
		Name: "failures", Schema: uintSchema(1, maxHealthFailures), Doc: "Failures in a row that make a running container unhealthy. Default 3.",
		Set: func(d *reader, n node, h *healthDraft) { h.Failures = readUint32(d, n, 1, maxHealthFailures) },
	},
}}

var httpTable = strictyaml.Table[HTTPCheck]{Fields: []strictyaml.Field[HTTPCheck]{
	{
		Name: "path", Required: true, Schema: textSchema(), Doc: "Path of the request.",
		Set: func(d *reader, n node, h *HTTPCheck) { h.Path, _ = d.String(n) },
	},
	{
		Name: "port", Schema: uintSchema(1, 65535), Doc: "Default the container's http port.",
		Set: func(d *reader, n node, h *HTTPCheck) { h.Port = readPort(d, n, 1) },
	},
}}

var shortHTTP = regexp.MustCompile(`^([0-9]{1,5})?(/.*)$`)

func readHTTPCheck(d *reader, n node, h *healthDraft) {
	h.HTTP, h.http = &HTTPCheck{}, n
	if n.IsMap() {
		httpTable.Read(d, n, h.HTTP)
		return
	}
	s, ok := d.String(n)
	if !ok {
		return
	}
	m := shortHTTP.FindStringSubmatch(s)
	if m == nil {
		d.Refuse(n, n.Shown(), `"/path" or "PORT/path"`)
		return
	}
	h.HTTP.Path = m[2]
	if m[1] != "" {
		port, err := strconv.ParseUint(m[1], 10, 16)
		if err != nil || port == 0 {
			d.Refuse(n, n.Shown(), "a port from 1 to 65535 before the path")
		}
		h.HTTP.Port = uint16(port)
	}
}

// readDuration takes Go's notation, or a whole number of seconds.
func readDuration(d *reader, n node, dst *time.Duration) {
	s, ok := d.Word(n)
	if !ok {
		return
	}
	if allDigits.MatchString(s) {
		s += "s"
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < minHealthTime || v > maxHealthTime || v%time.Millisecond != 0 {
		d.Refuse(n, n.Shown(), healthTimes)
		return
	}
	*dst = v
}

func readHealth(d *reader, n node, c *container) {
	c.health.Health = Health{
		Interval: DefaultHealthInterval, Timeout: DefaultHealthTimeout,
		Start: DefaultHealthStart, Failures: DefaultHealthFailures,
	}
	if fields := healthTable.Read(d, n, &c.health); fields != nil {
		c.out.Health = &c.health.Health
	}
}

// finishHealth finds the port of an http check that names none.
func (c *container) finishHealth(d *reader) {
	check := c.health.HTTP
	if check == nil || check.Port != 0 || check.Path == "" {
		return
	}
	for _, p := range c.out.Ports {
		switch {
		case p.Protocol != HTTP || p.TargetPort == check.Port:
		case check.Port != 0:
			d.Refuse(c.health.http, "no port", "one: there are several http ports")
			return
		default:
			check.Port = p.TargetPort
		}
	}
	if check.Port == 0 {
		d.RefuseField(c.health.http, "port", "nothing", "a port: the container has no http port")
	}
}

// cleanURLPath reports whether p can be the path, and query, of a request line.
func cleanURLPath(p string) bool {
	return len(p) <= maxPath && path.IsAbs(p) && urlPath.MatchString(p)
}

// urlPath is RFC 3986, 3.3 and 3.4.
var urlPath = regexp.MustCompile(`^[A-Za-z0-9._~!$&'()*+,;=:@%/?-]+$`)
