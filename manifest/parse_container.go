package manifest

import (
	"fmt"

	"apocryph/manifest/internal/strictyaml"
)

// container is a container of the file that is being read.
type container struct {
	out    Container
	node   node
	fields map[string]node
	// host is the shortcut for the one http port's host.
	host string
	// shortcut is the http port that "port:" stands for; it goes first.
	shortcut *Port
	ports    []placedPort
	env      []placedEnv
	health   healthDraft
	mounts   []mountDraft
	// volumes were defined inline.
	volumes []placedVolume
}

type placedEnv struct {
	EnvVar
	node node
}

var containerTable = strictyaml.Table[container]{Fields: []strictyaml.Field[container]{
	{
		Name: "name", Schema: labelSchema(maxName),
		Doc: "Name of the container. Default the app's name, where it is the only one.",
		Set: func(d *reader, n node, c *container) { c.out.Name, _ = d.String(n) },
	},
	{
		Name: "image", Required: true, Schema: textSchema(),
		Doc: "oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, ipfs:CID or a registry reference. Paths are relative to this file.",
		Set: func(d *reader, n node, c *container) {
			s, ok := d.String(n)
			if c.out.Image.Ref = s; ok && s == "" {
				d.Refuse(n, "nothing", "a reference of an image")
			}
		},
	},
	{
		Name: "command", Schema: commandSchema(), Doc: "Replaces the image's entrypoint: a list, or text that is split into words. No shell.",
		Set: func(d *reader, n node, c *container) { c.out.Command = readWords(d, n) },
	},
	{
		Name: "args", Schema: commandSchema(), Doc: "Replaces the image's command: a list, or text that is split into words. No shell.",
		Set: func(d *reader, n node, c *container) { c.out.Args = readWords(d, n) },
	},
	{
		Name: "workingDir", Schema: pathSchema(), Doc: "Directory that the command starts in. Default the image's.",
		Set: func(d *reader, n node, c *container) { c.out.WorkingDir, _ = d.String(n) },
	},
	{
		Name: "env", Schema: envSchema(), Doc: "Environment variables: a mapping, or a list of {name, value}.",
		Set: readEnv,
	},
	{
		Name: "port", Schema: uintSchema(1, 65535), Doc: "The port that the container serves HTTP on. Short for one http port.",
		Set: func(d *reader, n node, c *container) {
			if p, ok := d.Uint(n, 1, 65535); ok {
				c.shortcut = &Port{TargetPort: uint16(p), Protocol: HTTP}
			}
		},
	},
	{
		Name: "ports", Schema: portsSchema(), Doc: `Ports reachable from outside: {targetPort, ...}, 8080 (tcp, external port assigned), "123:321" (external:target), "53:53/udp", "8080/http".`,
		Set: readPorts,
	},
	{
		Name: "host", Schema: textSchema(), Doc: "A host name of your own for the http port.",
		Set: func(d *reader, n node, c *container) { c.host = readHost(d, n) },
	},
	{
		Name: "resources", Schema: refSchema("resources"), Doc: "Limits, which are reserved as well.",
		Set: func(d *reader, n node, c *container) { readResources(d, n, &c.out.Resources) },
	},
	{
		Name: "health", Schema: refSchema("health"), Doc: "When the container counts as up. Without it every port must accept a connection.",
		Set: func(d *reader, n node, c *container) { readHealth(d, n, c) },
	},
	{
		Name: "volumes", Schema: listSchema("mount", MaxVolumes), Doc: "What is mounted: a volume's name and a path, or a volume defined in place.",
		Set: readMounts,
	},
}}

// finish resolves the shortcuts of a container. Path is its place in the manifest.
func (c *container) finish(d *reader, path string) {
	if c.shortcut != nil {
		c.ports = append([]placedPort{{Port: *c.shortcut, node: c.fields["port"]}}, c.ports...)
	}
	c.finishHost(d)
	for i, p := range c.ports {
		d.Place(fmt.Sprintf("%s.ports[%d]", path, i), p.node)
		c.out.Ports = append(c.out.Ports, p.Port)
	}
	sortByName(c.env, func(e placedEnv) string { return e.Name })
	for i, e := range c.env {
		d.Place(fmt.Sprintf("%s.env[%d]", path, i), e.node)
		c.out.Env = append(c.out.Env, e.EnvVar)
	}
	sortByName(c.out.Resources.Extended, func(e ExtendedResource) string { return e.Name })
	c.finishHealth(d)
	c.finishMounts(d, path)
}

func readWords(d *reader, n node) []string {
	if n.IsScalar() {
		s, ok := d.Text(n)
		if !ok {
			return nil
		}
		words, err := splitWords(s)
		if err == nil && len(words) == 0 {
			d.Refuse(n, "no word", "a program")
		}
		if err != nil {
			// The text is not repeated: it may hold a password.
			d.Refuse(n, "a command line", err.Error())
		}
		return words
	}
	var words []string
	for _, e := range d.List(n, MaxArgs) {
		if w, ok := d.Text(e); ok {
			words = append(words, w)
		}
	}
	return words
}

var envTable = strictyaml.Table[EnvVar]{Fields: []strictyaml.Field[EnvVar]{
	{
		Name: "name", Required: true, Schema: textSchema(), Doc: "Name of the variable.",
		Set: func(d *reader, n node, e *EnvVar) { e.Name, _ = d.Word(n) },
	},
	{
		Name: "value", Required: true, Schema: scalarSchema(), Doc: "Its value; a number stays as it is written.",
		Set: func(d *reader, n node, e *EnvVar) { e.Value, _ = d.Text(n) },
	},
}}

// readEnv never repeats a value in a fault: it may be a secret.
func readEnv(d *reader, n node, c *container) {
	if n.IsMap() {
		for _, e := range d.Map(n, MaxEnv) {
			v, _ := d.Text(e.Value)
			c.env = append(c.env, placedEnv{EnvVar{e.Key, v}, e.Value})
		}
		return
	}
	for _, e := range d.List(n, MaxEnv) {
		v := placedEnv{node: e}
		envTable.Read(d, e, &v.EnvVar)
		c.env = append(c.env, v)
	}
}
