package mesh

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/proto/status"
	"apocryph/provider/providerd"
	"apocryph/publisher/publisherd"
)

// proven is a publisher with a software device, and the policy that accepts it.
func (a *author) proven() *policy.Policy {
	a.t.Helper()
	a.cfg.TEE, a.cfg.Binary = "soft", machines.program
	copyMachine(a.t, machines.foreign, filepath.Join(a.cfg.Home, "device"))
	var err error
	a.node, err = publisherd.New(a.cfg)
	must(a.t, err)
	r, err := a.node.ShowOwn(a.t.Context())
	must(a.t, err)
	return policy.FromResult([]*attest.Result{r})
}

// demands is a provider that demands evidence of publishers.
func demands(t *testing.T, p *policy.Policy) *host {
	t.Helper()
	file := filepath.Join(t.TempDir(), "publishers.yaml")
	must(t, os.WriteFile(file, p.Marshal(), 0o600))
	return newHost(t, func(c *providerd.Config) { c.PublisherPolicyFile = file })
}

// TestBothDirections has devices on both sides.
func TestBothDirections(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	h := demands(t, a.proven())
	to := h.target()
	d, err := a.deploy(t.Context(), job{manifest: app("mutual", image(t, imageSize)), to: to, policy: a.policy(to)})
	must(t, err)
	if body := fetch(t, d.App.URL, "tcp", d.App.Endpoints[0].Dial); !strings.HasPrefix(body, "hello") {
		t.Errorf("the app answers %q", body)
	}
	must(t, a.delete(to, "mutual"))
	h.clean()
}

// TestPublishersThatProveNothing are refused before anything is opened, pulled or
// kept, with a hint.
func TestPublishersThatProveNothing(t *testing.T) {
	t.Parallel()
	proven := newAuthor(t)
	accepted := proven.proven()
	h := demands(t, accepted)
	to := h.target()
	pol := proven.policy(to)
	changed := *accepted
	changed.Reference = append([]policy.ReferenceSet(nil), accepted.Reference...)
	changed.Reference[0].Measurement = [][]byte{append([]byte{1}, accepted.Reference[0].Measurement[0][1:]...)}
	for name, c := range map[string]struct {
		author func(t *testing.T) *author
		at     *host
		detail string
	}{
		"no device": {func(t *testing.T) *author { return newAuthor(t) }, h, ""},
		"another machine": {func(t *testing.T) *author {
			a := newAuthor(t)
			a.cfg.TEE, a.cfg.Binary = "soft", machines.program
			copyMachine(t, machines.trusted, filepath.Join(a.cfg.Home, "device"))
			var err error
			a.node, err = publisherd.New(a.cfg)
			must(t, err)
			return a
		}, h, "ATT-031"},
		"another program": {func(t *testing.T) *author {
			a := newAuthor(t)
			a.proven()
			return a
		}, demands(t, &changed), "ATT-071"},
		"a device of another kind": {func(t *testing.T) *author {
			a := newAuthor(t)
			a.proven()
			return a
		}, demands(t, policy.Builtin()), "ATT-"},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.author(t)
			to, pol := to, pol
			if c.at != h {
				to = c.at.target()
				pol = a.policy(to)
			}
			_, err := a.deploy(t.Context(), job{manifest: app("unproven", image(t, imageSize)), to: to, policy: pol})
			refused(t, err, status.Untrusted, "provision.publisher_evidence")
			e := status.Public(err)
			if !strings.Contains(e.Hint, "--tee") || !strings.Contains(e.Detail, c.detail) {
				t.Errorf("got %q, hint %q", e.Detail, e.Hint)
			}
			// Its resources stay reserved for a while.
			if pods := c.at.pods(); len(pods) != 0 {
				t.Errorf("pods are left: %+v", pods)
			}
			c.at.empty()
		})
	}
}

// TestPublishersProveOnlyWhereTheyDeploy: nobody else learns which machine a
// publisher has.
func TestPublishersProveOnlyWhereTheyDeploy(t *testing.T) {
	t.Parallel()
	a := newAuthor(t)
	a.proven()
	h := newHost(t)
	stranger := newAuthor(t)
	to := h.target()
	asked := false
	_, err := a.deploy(t.Context(), job{
		manifest: app("shy", image(t, imageSize)), to: to, policy: a.policy(to),
		online: func(s *publisherd.Session) {
			asked = true
			err := stranger.look(targetOf(t, s.Addrs()[0]))
			refused(t, err, status.PermissionDenied, "attest.verifier")
		},
	})
	must(t, err)
	if !asked {
		t.Error("nobody asked")
	}
	must(t, a.delete(to, "shy"))
	h.clean()
}
