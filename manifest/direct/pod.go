package direct

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/proto/strictjson"
)

// container is the part of a document that package manifest reads, by the names
// of its fields there.
type container struct {
	name, image                 strictjson.Value
	replicas, access, class     strictjson.Value
	port, ports, host           strictjson.Value
	env, command, args, workDir strictjson.Value
	resources, health, volumes  strictjson.Value
	// secrets are what the secret ones of volumes hold.
	secrets []secretVolume
}

// uploaded stands for the image of files, which a manifest file cannot leave out.
const uploaded = "uploaded"

// pod reads the container as a manifest file. It returns nil when that has faults.
func (c *container) pod(r *reader) *manifest.Manifest {
	root := strictjson.Value{Line: 1}
	image := c.image
	if image.Kind != strictjson.String || image.Text == "" {
		image = text(root, uploaded)
	}
	inner := object(root, strictjson.Member{Name: "image", Value: image})
	add := func(to *strictjson.Value, name string, v strictjson.Value) {
		if given(v) {
			to.Members = append(to.Members, strictjson.Member{Name: name, Value: v})
		}
	}
	add(&inner, "command", c.command)
	add(&inner, "args", c.args)
	add(&inner, "workingDir", c.workDir)
	add(&inner, "env", c.env)
	add(&inner, "port", c.port)
	add(&inner, "ports", c.ports)
	add(&inner, "host", c.host)
	add(&inner, "resources", c.resources)
	add(&inner, "health", c.health)
	add(&inner, "volumes", c.volumes)
	doc := object(root, strictjson.Member{Name: "containers", Value: array(root, inner)})
	add(&doc, "name", c.name)
	add(&doc, "replicas", c.replicas)
	add(&doc, "access", c.access)
	add(&doc, "runtimeClass", c.class)

	s := write(doc)
	m, err := manifest.ParseFile([]byte(s.text.String()))
	if err != nil {
		r.mergeAll(err, s.origin)
		return nil
	}
	m.Containers[0].Image.Ref = c.image.Text
	return m
}

// mergeAll adds the faults of an error, each moved by origin.
func (r *reader) mergeAll(err error, origin func(status.Fault) status.Fault) {
	var e *status.Error
	if !errors.As(err, &e) || len(e.Faults) == 0 {
		r.faults = append(r.faults, status.Fault{Field: "document", Got: "what cannot be read", Want: "a manifest"})
		return
	}
	for _, f := range e.Faults {
		r.merge(origin(f))
	}
}

// defaultHTTP makes the first port without a protocol an http port, where there is
// no other.
func (c *container) defaultHTTP() {
	if given(c.port) || c.ports.Kind != strictjson.List || slices.ContainsFunc(c.ports.Elems, isHTTP) {
		return
	}
	for i, e := range c.ports.Elems {
		if n, err := strconv.ParseUint(e.Text, 10, 16); err != nil || n == 0 {
			continue
		}
		c.ports.Elems = slices.Clone(c.ports.Elems)
		c.ports.Elems[i] = text(e, e.Text+"/http")
		return
	}
}

func isHTTP(v strictjson.Value) bool {
	if v.Kind != strictjson.Object {
		return strings.HasSuffix(strings.ToLower(v.Text), "/http")
	}
	return strings.EqualFold(v.Member("protocol").Text, "http") ||
		given(v.Member("host")) && !given(v.Member("protocol"))
}

// needHTTP adds the http port that static files are served on.
func needHTTP(r *reader, m *manifest.Manifest, at strictjson.Value) {
	c := &m.Containers[0]
	target := uint16(DefaultPort)
	for i, p := range c.Ports {
		if p.Protocol == manifest.HTTP {
			return
		}
		if p.Protocol == manifest.TCP && (i == 0 || c.Ports[0].Protocol != manifest.TCP) {
			target = p.TargetPort
		}
	}
	c.Ports = append(c.Ports, manifest.Port{TargetPort: target, Protocol: manifest.HTTP})
	r.recheck(m, at)
}

// tellPort sets PORT to the first http port, or the first port, unless it is set.
func tellPort(r *reader, m *manifest.Manifest, at strictjson.Value) {
	c := &m.Containers[0]
	if len(c.Ports) == 0 || slices.ContainsFunc(c.Env, func(e manifest.EnvVar) bool { return e.Name == "PORT" }) {
		return
	}
	first := c.Ports[0]
	if i := slices.IndexFunc(c.Ports, func(p manifest.Port) bool { return p.Protocol == manifest.HTTP }); i >= 0 {
		first = c.Ports[i]
	}
	i, _ := slices.BinarySearchFunc(c.Env, "PORT", func(e manifest.EnvVar, name string) int { return strings.Compare(e.Name, name) })
	c.Env = slices.Insert(c.Env, i, manifest.EnvVar{Name: "PORT", Value: strconv.Itoa(int(first.TargetPort))})
	r.recheck(m, at)
}

// recheck reports what an addition made wrong, at the field that it was added to.
func (r *reader) recheck(m *manifest.Manifest, at strictjson.Value) {
	for _, f := range m.Validate() {
		r.merge(at.Fault(f.Got, f.Want+"; one is added to what was sent"))
	}
}

// volumesOf refuses what would mount the provider's own files, and returns the
// rest with what its secrets hold.
func (r *reader) volumesOf(v strictjson.Value) (strictjson.Value, []secretVolume) {
	if v.Kind != strictjson.List {
		return v, nil
	}
	kept := array(v)
	var secrets []secretVolume
	for _, e := range v.Elems {
		host, kind, files := e.Member("host_path"), e.Member("type"), e.Member("files")
		switch {
		case host.Kind != strictjson.Absent:
			r.refuse(host, "a host path", "nothing: host paths are not mounted; use a named volume")
			continue
		case kind.Text == "secret":
			volume, content := r.secret(e)
			secrets = append(secrets, secretVolume{len(kept.Elems), content})
			e = volume
		case files.Kind != strictjson.Absent:
			r.refuse(files, "files", `none: volumes of type "secret" have files`)
			continue
		}
		kept.Elems = append(kept.Elems, e)
	}
	return kept, secrets
}
