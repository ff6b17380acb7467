package direct

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"apocryph/manifest"
	"apocryph/proto/strictjson"
)

// Defaults are what a manifest need not say, since the caller's token or URL does.
type Defaults struct {
	// Namespace is where the app goes; empty to ask for one.
	Namespace string
}

// document is the manifest of POST /deploy.
type document struct {
	Name         strictjson.Value `json:"name"`
	Namespace    strictjson.Value `json:"namespace"`
	Environment  strictjson.Value `json:"environment"`
	Runtime      strictjson.Value `json:"runtime"`
	Entry        strictjson.Value `json:"entry"`
	Image        strictjson.Value `json:"image"`
	ArtifactID   strictjson.Value `json:"artifact_id"`
	Source       strictjson.Value `json:"source"`
	Ref          strictjson.Value `json:"ref"`
	CommitSHA    strictjson.Value `json:"commit_sha"`
	Port         strictjson.Value `json:"port"`
	Ports        strictjson.Value `json:"ports"`
	Host         strictjson.Value `json:"host"`
	Listen       strictjson.Value `json:"listen"`
	Env          strictjson.Value `json:"env"`
	Command      strictjson.Value `json:"command"`
	Args         strictjson.Value `json:"args"`
	WorkingDir   strictjson.Value `json:"workingDir"`
	Resources    strictjson.Value `json:"resources"`
	Health       strictjson.Value `json:"health"`
	HealthPath   strictjson.Value `json:"health_path"`
	Replicas     strictjson.Value `json:"replicas"`
	Volumes      strictjson.Value `json:"volumes"`
	Access       strictjson.Value `json:"access"`
	RuntimeClass strictjson.Value `json:"runtimeClass"`
	Mode         strictjson.Value `json:"mode"`
	Expected     strictjson.Value `json:"expected_revision"`
	Labels       strictjson.Value `json:"labels"`
	Containers   strictjson.Value `json:"containers"`
}

// Parse reads the manifest of a direct deploy, of at most [MaxBytes]. A text that
// is no JSON is invalid_argument, json.malformed or json.too_large, with the
// place; everything else that is wrong is in one invalid_argument,
// manifest.invalid, whose faults have JSON pointers for fields.
func Parse(b []byte, defaults Defaults) (*Manifest, error) {
	var r reader
	var d document
	if err := r.decode(b, &d); err != nil {
		return nil, err
	}
	return d.manifest(&r, defaults)
}

// manifest checks a document.
func (d *document) manifest(r *reader, defaults Defaults) (*Manifest, error) {
	m := &Manifest{
		Name:        d.Name.Text,
		Namespace:   cmp.Or(r.text(d.Namespace), defaults.Namespace),
		Environment: cmp.Or(r.text(d.Environment), Production),
		Entry:       r.entry(d.Entry),
		Image:       r.image(d.Image),
		CommitSHA:   r.commit(d.CommitSHA),
		Labels:      r.labels(d.Labels),
	}
	if m.Namespace == "" && !given(d.Namespace) {
		r.refuse(place0("/namespace"), "nothing", "the namespace that the app goes to")
	} else if m.Namespace != "" {
		r.namespace(at(d.Namespace, "/namespace"), m.Namespace)
	}
	if r.label(at(d.Environment, "/environment"), m.Environment, maxName); labelPattern.MatchString(m.Name) {
		r.environment(at(d.Environment, "/environment"), m.Name, m.Environment)
	}
	r.mode(d, m)
	r.source(d, m)
	r.artifact(d, m)
	r.expected(d, m)
	r.containers(d.Containers)
	r.runtime(d, m)
	m.Pod = d.pod(r, m)
	if err := r.err("manifest.invalid", "the manifest"); err != nil {
		return nil, err
	}
	return m, nil
}

func place0(pointer string) strictjson.Value { return strictjson.Value{Pointer: pointer, Line: 1} }

// at is v, or where it would be.
func at(v strictjson.Value, pointer string) strictjson.Value {
	if v.Kind == strictjson.Absent {
		return place0(pointer)
	}
	return v
}

func (r *reader) mode(d *document, m *Manifest) {
	switch mode := r.text(d.Mode); mode {
	case "":
	case "dev":
		m.Warnings = append(m.Warnings, "mode dev has no effect")
	case "attested":
		r.refuse(d.Mode, `"attested"`, "no such claim: what is attested is what was measured, ask the app for its proof")
	default:
		r.refuse(d.Mode, quoted(mode), `"dev", which has no effect, or no mode`)
	}
}

// artifact is what was uploaded before, in place of files.
func (r *reader) artifact(d *document, m *Manifest) {
	if !given(d.ArtifactID) {
		return
	}
	if m.ArtifactID = strings.ToLower(r.text(d.ArtifactID)); m.ArtifactID != "" && !uuidPattern.MatchString(m.ArtifactID) {
		r.refuse(d.ArtifactID, quoted(d.ArtifactID.Text), "the id of an artifact, a UUID")
	}
	if given(d.Image) || given(d.Source) {
		r.refuse(d.ArtifactID, "an artifact as well", "one of artifact_id, image and source")
	}
	if t := d.Runtime.Text; t != Static && t != Binary && t != Image {
		r.refuse(at(d.Runtime, "/runtime"), quoted(t), "static, binary or image, which an artifact can be")
	}
}

func (r *reader) expected(d *document, m *Manifest) {
	if !given(d.Expected) {
		return
	}
	n, err := strconv.ParseUint(d.Expected.Text, 10, 63)
	if d.Expected.Kind != strictjson.Number || err != nil || n == 0 {
		r.refuse(d.Expected, quoted(d.Expected.Text), "the number of a revision, from 1")
		return
	}
	m.Expected = n
}

// runtime checks what each runtime takes.
func (r *reader) runtime(d *document, m *Manifest) {
	m.Runtime = r.text(d.Runtime)
	switch {
	case !given(d.Runtime) && given(d.Image):
		r.refuse(at(d.Runtime, "/runtime"), "nothing", `"image", or no image: without a runtime, it is found out from files`)
		return
	case !given(d.Runtime):
		return
	case m.Runtime == "":
		return
	case !slices.Contains(Runtimes(), m.Runtime):
		r.refuse(d.Runtime, quoted(m.Runtime), "one of %s", list(Runtimes()))
		return
	}
	if m.Runtime != Image && given(d.Image) {
		r.refuse(d.Image, "an image", `none: runtime %q runs the uploaded files; runtime "image" runs an image`, m.Runtime)
	}
	if m.Runtime == Image && m.Source != "" {
		r.refuse(d.Source, "a source", `none: runtime "image" runs an image that was built`)
	}
	if m.Runtime == Image && given(d.Entry) {
		r.refuse(d.Entry, "an entry", "none: an image has its own; command replaces it")
	}
	if m.Runtime == Binary && m.Entry == "." {
		r.refuse(d.Entry, quoted(m.Entry), "the path of an executable")
	}
	if m.Runtime == Static {
		for _, v := range []strictjson.Value{d.Command, d.Args, d.WorkingDir} {
			if given(v) {
				r.refuse(v, v.Kind.String(), "nothing: static files are served by the provider's own server")
			}
		}
	}
}

// pod reads what is shared with manifest files. It is nil where there are faults.
func (d *document) pod(r *reader, m *Manifest) *manifest.Manifest {
	c := container{
		name: d.Name, image: d.Image, replicas: d.Replicas, access: d.Access, class: d.RuntimeClass,
		port: d.Port, ports: d.Ports, host: d.Host, env: d.Env, command: d.Command, args: d.Args,
		workDir: d.WorkingDir, resources: d.Resources, health: d.Health,
	}
	c.volumes, c.secrets = r.volumesOf(d.Volumes)
	d.listen(r, &c)
	c.defaultHTTP()
	if m.Runtime == Static && !given(c.port) && len(c.ports.Elems) == 0 {
		c.port = number(place0("/port"), DefaultPort)
	}
	d.webPort(&c, m)
	if given(d.HealthPath) {
		if given(d.Health) {
			r.refuse(d.HealthPath, "health as well", "one of health and health_path")
		} else {
			c.health = object(d.HealthPath, strictjson.Member{Name: "http", Value: d.HealthPath})
		}
	}
	pod := c.pod(r)
	if pod == nil {
		return nil
	}
	m.Secrets = c.secretsOf(pod)
	switch m.Runtime {
	case Static:
		needHTTP(r, pod, at(d.Ports, "/ports"))
	case Image:
	default:
		tellPort(r, pod, at(d.Env, "/env"))
	}
	return pod
}

// listen is the old form of one port.
func (d *document) listen(r *reader, c *container) {
	if !given(d.Listen) {
		return
	}
	if given(d.Port) || given(d.Ports) {
		r.refuse(d.Listen, "listen as well as port or ports", "one of the two forms")
		return
	}
	if d.Listen.Kind != strictjson.Object {
		r.refuse(d.Listen, d.Listen.Kind.String(), "an object of port and protocol")
		return
	}
	known := []string{"port", "protocol"}
	for _, m := range d.Listen.Members {
		if !slices.Contains(known, m.Name) {
			got, want := strictjson.Unknown(m.Name, known)
			r.refuse(m.Value, got, "%s", want)
		}
	}
	port, protocol := d.Listen.Member("port"), d.Listen.Member("protocol")
	if !given(protocol) {
		protocol = text(protocol, "http")
	}
	if !given(port) {
		r.refuse(port, "nothing", "the port that the app listens on")
		return
	}
	out := object(d.Listen, strictjson.Member{Name: "targetPort", Value: port}, strictjson.Member{Name: "protocol", Value: protocol})
	if !strings.EqualFold(protocol.Text, "http") {
		// What it listened on in the old form was the external port as well.
		out.Members = append(out.Members, strictjson.Member{Name: "port", Value: port})
	}
	c.ports = array(d.Listen, out)
}
