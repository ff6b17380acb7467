package httpapi

import (
	"io"
	"net/http"

	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider/auth"
	"apocryph/provider/deploy"
	"apocryph/provider/pull"
)

// syncRequest is the body of a sync. There is nothing else that a caller may say.
type syncRequest struct {
	// Ref is a commit or a branch; without it, the head of the configured branch.
	Ref *string `json:"ref,omitempty"`
}

// syncFromGit is POST /namespaces/{namespace}/sync-from-git.
//
// The body is a ref and nothing else: repository, branch and path are the
// namespace's configuration, and all content is fetched by the provider. It
// answers 200 when every app of the commit is as its manifest says, with the
// deployment whose results have one entry for each; 202 at once with "Prefer:
// respond-async"; or streams events. What cannot be synced is refused before
// anything is changed.
func (c *call) syncFromGit() error {
	ns, err := c.theNamespace(auth.ActionDeploy)
	if err != nil {
		return err
	}
	if m := c.media(); m != "" && m != mediaJSON && c.r.ContentLength != 0 {
		return wrongMedia(m, mediaJSON)
	}
	b, err := c.body(true, maxJSON)
	if err != nil {
		return err
	}
	var in syncRequest
	if b != nil {
		if err := decodeJSON(b, &in); err != nil {
			return err
		}
	}
	req := pull.Request{Namespace: ns, By: c.caller.Subject}
	if in.Ref != nil {
		if req.Ref = *in.Ref; req.Ref == "" {
			return status.Invalid("sync.ref", "the sync", []status.Fault{{Field: "/ref", Got: "nothing", Want: "a commit or a branch; or no such member, for the branch's head"}})
		}
	}
	media := accepts(c.r.Header, mediaJSON, mediaSSE, mediaJSON)
	d, err := c.sync(req)
	if err != nil {
		return err
	}
	c.done = http.StatusOK
	return c.answer(d, preferences(c.r.Header), media, true)
}

// sync finds and reads the commit, which takes as long as the repository's host
// does. A caller who leaves meanwhile has asked for nothing.
func (c *call) sync(req pull.Request) (deploy.Deployment, error) {
	leave, err := c.api.streams.enter(c.caller.Subject)
	if err != nil {
		return deploy.Deployment{}, err
	}
	defer leave()
	c.patient()
	d, err := c.api.cfg.Repositories.Sync(c.ctx(), req)
	if status.ReasonOf(err) == git.ReasonUnavailable {
		// The host is at fault, and behind this server.
		return d, &answerError{err: err, code: http.StatusBadGateway}
	}
	return d, err
}

// webhook is POST /api/v1/namespaces/{namespace}/webhook. It is for everybody: the
// delivery is authenticated by the secret that the namespace shares with its git
// host, and it can do no more than have the branch's head looked at.
func (c *call) webhook() error {
	if m := c.media(); m != mediaJSON {
		return wrongMedia(m, "application/json; the git host has a choice for it")
	}
	in, leave, err := c.upload(pull.MaxHook)
	if err != nil {
		return err
	}
	defer leave()
	body, err := io.ReadAll(in)
	if err != nil {
		return in.blame(err)
	}
	c.patient()
	out, err := c.api.cfg.Repositories.Hook(c.ctx(), c.r.PathValue("namespace"), c.r.Header, body)
	if err != nil {
		return err
	}
	code := http.StatusOK
	if out.Status == "accepted" {
		code = http.StatusAccepted
	}
	return c.json(code, out)
}
