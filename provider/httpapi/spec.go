package httpapi

import (
	"crypto/rand"

	"apocryph/manifest/direct"
	"apocryph/proto/status"
	"apocryph/proto/strictjson"
	"apocryph/provider/deploy"
)

// decodeJSON reads a body of the API's own; every fault is told at once.
func decodeJSON(b []byte, into any) error {
	return strictjson.Decode(b, into, strictjson.Options{MaxBytes: maxJSON})
}

// request makes a deploy's form the one request of the pipeline.
func (c *call) request(f *form) (deploy.Request, error) {
	m, err := direct.Parse(f.manifest, direct.Defaults{Namespace: c.home()})
	if err != nil {
		return deploy.Request{}, err
	}
	if _, err := c.place(m.Namespace); err != nil {
		return deploy.Request{}, err
	}
	if err := files(m, f.tree != nil); err != nil {
		return deploy.Request{}, err
	}
	req := c.asked(m)
	req.Tree = f.tree
	if m.Source != "" {
		if req.Git, err = gitSource(m); err != nil {
			return deploy.Request{}, err
		}
	}
	return req, nil
}

// files checks that there is what the runtime runs, once.
func files(m *direct.Manifest, some bool) error {
	fault := func(field, got, want string) error {
		return status.Invalid("deploy.files_missing", "the form", []status.Fault{{Field: field, Got: got, Want: want}}).
			WithHint("curl -F manifest=@manifest.json -F files=@app.tar URL/deploy")
	}
	switch {
	case m.ArtifactID != "" && some:
		return status.Invalid("deploy.files_twice", "the form", []status.Fault{{Field: partFiles, Got: "files as well as an artifact", Want: "one of the two"}})
	case m.ArtifactID != "":
		return nil
	case m.Source != "" && some:
		return status.Invalid("deploy.files_twice", "the form", []status.Fault{{Field: partFiles, Got: "files as well as a source", Want: "one of the two"}})
	case m.Source != "":
		return nil
	case m.Runtime == "" && !some:
		return fault(partFiles, "no such part", "what is to run, or a runtime and an image, or a source")
	case m.Runtime != direct.Image && !some:
		return fault(partFiles, "no such part", "what the runtime "+m.Runtime+" runs")
	case m.Runtime == direct.Image && m.Image == "" && !some:
		return fault(partFiles, "no such part", "an image archive, or image in the manifest")
	case m.Image != "" && some:
		return status.Invalid("deploy.files_twice", "the form", []status.Fault{{Field: partFiles, Got: "files as well as an image", Want: "one of the two"}})
	}
	return nil
}

// appRequest makes the body of an app's deployment the same request.
func (c *call) appRequest(a deploy.App, b []byte) (deploy.Request, error) {
	m, err := direct.ParseDeployment(b)
	if err != nil {
		return deploy.Request{}, err
	}
	if err := m.SetName(a.Namespace, a.Name); err != nil {
		return deploy.Request{}, err
	}
	req := c.asked(m)
	if req.ArtifactID == "" && req.Image == "" {
		req.AwaitBuild, req.Runtime = true, ""
	}
	return req, nil
}

func (c *call) asked(m *direct.Manifest) deploy.Request {
	req := deploy.Request{
		Namespace: m.Namespace, App: m.Name, Environment: m.Environment, By: c.caller.Subject, Runtime: m.Runtime,
		Manifest: m.Pod, Entry: m.Entry, ArtifactID: m.ArtifactID, Image: m.Image, Expected: m.Expected, ClaimedCommit: m.CommitSHA,
		Warnings: m.Warnings, Secrets: m.Secrets, Labels: m.Labels,
	}
	if m.Image != "" {
		req.Runtime = ""
	}
	return req
}

// home is the namespace of a call whose body names none: the one of the query,
// else the one that all the token's scopes have, else "default"; empty where the
// scopes have several.
func (c *call) home() string {
	if ns := c.r.URL.Query().Get("namespace"); ns != "" {
		return ns
	}
	switch list := c.namespaces(); {
	case len(list) > 1:
		return ""
	case len(list) == 1:
		return list[0]
	}
	return "default"
}

// order names the order: the same for the repeat of a key, else a new one. It is
// known when the body is.
func (c *call) order() (id [16]byte) {
	if c.attempt != nil {
		return c.attempt.requestID()
	}
	_, _ = rand.Read(id[:]) // it never fails, see crypto/rand
	return id
}
