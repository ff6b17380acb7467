package direct

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"apocryph/proto/strictjson"
)

// body is that of POST /api/v1/apps/{id}/deployments.
type body struct {
	ArtifactID  strictjson.Value `json:"artifact_id"`
	Image       strictjson.Value `json:"image"`
	ProcessType strictjson.Value `json:"process_type"`
	Environment strictjson.Value `json:"environment"`
	Replicas    strictjson.Value `json:"replicas"`
	Resources   strictjson.Value `json:"resources"`
	Networking  strictjson.Value `json:"networking"`
	Env         strictjson.Value `json:"env"`
	Entry       strictjson.Value `json:"entry"`
	Command     strictjson.Value `json:"command"`
	Args        strictjson.Value `json:"args"`
	WorkingDir  strictjson.Value `json:"workingDir"`
	Volumes     strictjson.Value `json:"volumes"`
	CommitSHA   strictjson.Value `json:"commit_sha"`
	Labels      strictjson.Value `json:"labels"`
	ColdStart   strictjson.Value `json:"cold_start_enabled"`
	IdleTimeout strictjson.Value `json:"idle_timeout_secs"`
	MaxRuntime  strictjson.Value `json:"max_runtime_secs"`
}

// ParseDeployment reads the body of a deployment of an app that exists, of at most
// [MaxBytes]. Errors are those of [Parse]; the reason of the second class is
// deployment.invalid. The result has no name until [Manifest.SetName].
func ParseDeployment(b []byte) (*Manifest, error) {
	var r reader
	var d body
	if err := r.decode(b, &d); err != nil {
		return nil, err
	}
	m := &Manifest{
		Environment: cmp.Or(r.text(d.Environment), Development),
		Entry:       r.entry(d.Entry),
		Image:       r.image(d.Image),
		CommitSHA:   r.commit(d.CommitSHA),
		Labels:      r.labels(d.Labels),
	}
	r.label(d.Environment, m.Environment, maxName)
	r.process(&d, m)
	r.ignored(&d, m)
	c := container{
		name: text(strictjson.Value{Line: 1}, "app"), image: d.Image,
		replicas: d.Replicas, env: d.Env, command: d.Command, args: d.Args, workDir: d.WorkingDir,
		resources: d.Resources,
	}
	c.volumes, c.secrets = r.volumesOf(d.Volumes)
	r.networking(&d, m, &c)
	if m.Pod = c.pod(&r); m.Pod != nil && m.Runtime == Binary {
		tellPort(&r, m.Pod, at(d.Env, "/env"))
	}
	m.Secrets = c.secretsOf(m.Pod)
	if err := r.err("deployment.invalid", "the deployment"); err != nil {
		return nil, err
	}
	return m, nil
}

// process checks what each process type takes.
func (r *reader) process(d *body, m *Manifest) {
	if m.ArtifactID = strings.ToLower(r.text(d.ArtifactID)); m.ArtifactID != "" && !uuidPattern.MatchString(m.ArtifactID) {
		r.refuse(d.ArtifactID, quoted(d.ArtifactID.Text), "the id of an artifact, a UUID")
	}
	kind := cmp.Or(r.text(d.ProcessType), "tish")
	switch {
	case given(d.ProcessType) && d.ProcessType.Kind != strictjson.String:
		return
	case kind == "tish":
		m.Runtime = Binary
		if given(d.Image) {
			r.refuse(d.Image, "an image", `none: process_type "tish" runs the binary of artifact_id; "docker" runs an image`)
		}
		if m.Entry == "." {
			r.refuse(d.Entry, quoted(m.Entry), "the path of an executable")
		}
	case kind == "docker":
		m.Runtime = Image
		if given(d.Image) && given(d.ArtifactID) {
			r.refuse(d.Image, "an image as well as an artifact", "one of image and artifact_id")
		}
		if given(d.Entry) {
			r.refuse(d.Entry, "an entry", "none: an image has its own; command replaces it")
		}
	default:
		r.refuse(d.ProcessType, quoted(kind), `"tish", a native binary, or "docker", an image`)
	}
}

// ignored checks and warns of what has no effect here.
func (r *reader) ignored(d *body, m *Manifest) {
	warn := func(v strictjson.Value, name string, right bool, want string) {
		switch {
		case !given(v):
		case !right:
			r.refuse(v, v.Kind.String(), "%s", want)
		default:
			m.Warnings = append(m.Warnings, name+" is not supported and was ignored")
		}
	}
	warn(d.ColdStart, "cold_start_enabled", d.ColdStart.Kind == strictjson.Bool, "true or false")
	for _, v := range []struct {
		strictjson.Value
		name string
	}{{d.IdleTimeout, "idle_timeout_secs"}, {d.MaxRuntime, "max_runtime_secs"}} {
		_, err := strconv.ParseUint(v.Text, 10, 63)
		warn(v.Value, v.name, v.Kind == strictjson.Number && err == nil, "a whole number of seconds")
	}
}

var networkingFields = []string{"port", "protocol", "health_path"}

// networking becomes one port, and a health check where a path is given.
func (r *reader) networking(d *body, m *Manifest, c *container) {
	n := d.Networking
	if !given(n) && m.Runtime != Binary {
		return
	}
	if given(n) && n.Kind != strictjson.Object {
		r.refuse(n, n.Kind.String(), "an object of %s", list(networkingFields))
		return
	}
	for _, e := range n.Members {
		if !slices.Contains(networkingFields, e.Name) {
			got, want := strictjson.Unknown(e.Name, networkingFields)
			r.refuse(e.Value, got, "%s", want)
		}
	}
	port, health := n.Member("port"), n.Member("health_path")
	protocol := cmp.Or(strings.ToLower(r.text(n.Member("protocol"))), "http")
	switch protocol {
	case "http", "tcp":
	case "grpc":
		// gRPC is HTTP/2, which the ingress routes by host name as well.
		protocol = "http"
	default:
		r.refuse(n.Member("protocol"), quoted(protocol), "http, tcp or grpc")
		protocol = "tcp"
	}
	if !given(port) && m.Runtime == Binary {
		port = number(port, DefaultPort)
	}
	if given(port) {
		c.ports = array(n, object(n,
			strictjson.Member{Name: "targetPort", Value: port},
			strictjson.Member{Name: "protocol", Value: text(n, protocol)}))
	}
	if given(health) {
		check := object(health, strictjson.Member{Name: "path", Value: health})
		if given(port) {
			check.Members = append(check.Members, strictjson.Member{Name: "port", Value: port})
		}
		c.health = object(health, strictjson.Member{Name: "http", Value: check})
	}
}
