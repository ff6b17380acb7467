package mesh

import (
	"context"
	"sync"
	"testing"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// author is a publisher: a home, and a node for as long as each call takes.
type author struct {
	t    *testing.T
	cfg  publisherd.Config
	node *publisherd.Node
}

func newAuthor(t *testing.T, bootstrap ...string) *author {
	t.Helper()
	a := &author{t: t, cfg: publisherd.Config{
		Home: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: bootstrap, NoMDNS: true, Version: "test",
	}}
	var err error
	a.node, err = publisherd.New(a.cfg)
	must(t, err)
	return a
}

// do is one command that works with providers.
func (a *author) do(use func(context.Context, *publisherd.Session) error) error {
	return a.node.Do(a.t.Context(), false, use)
}

// policy writes down what providers show, and accepts nothing else.
func (a *author) policy(from ...*publisher.Target) *policy.Policy {
	a.t.Helper()
	var shown []*attest.Result
	must(a.t, a.do(func(ctx context.Context, s *publisherd.Session) error {
		for _, t := range from {
			r, err := s.Look(ctx, *t)
			if err != nil {
				return err
			}
			shown = append(shown, r)
		}
		return nil
	}))
	return policy.FromResult(shown)
}

// look asks a peer what it shows.
func (a *author) look(at *publisher.Target) error {
	return a.do(func(ctx context.Context, s *publisherd.Session) error {
		_, err := s.Look(ctx, *at)
		return err
	})
}

// job is one deploy.
type job struct {
	manifest string
	to       *publisher.Target
	policy   *policy.Policy
	// dir is where the manifest's paths start from.
	dir string
	// on is called for each event, from one goroutine at a time; may be nil.
	on func(publisher.Event)
	// online is called with the running node before anything else; may be nil.
	online func(*publisherd.Session)
}

// deploy does a job, as the command does.
func (a *author) deploy(ctx context.Context, j job) (*publisher.Deployed, error) {
	m, err := manifest.ParseFile([]byte(j.manifest))
	if err != nil {
		return nil, err
	}
	var out *publisher.Deployed
	err = a.node.Do(ctx, true, func(ctx context.Context, s *publisherd.Session) error {
		if j.online != nil {
			j.online(s)
		}
		var err error
		out, err = s.Deploy(ctx, publisher.DeployRequest{
			Manifest: m, Dir: j.dir, Provider: j.to, Policy: j.policy, PolicyFile: j.policy.Marshal(),
			Payment: offer.Payment{Scheme: "none"}, Platform: platform, Report: j.on,
		})
		return err
	})
	return out, err
}

// apps are those that the publisher remembers.
func (a *author) apps() []publisher.App {
	a.t.Helper()
	st, err := a.node.State()
	must(a.t, err)
	apps, err := st.List(a.t.Context())
	must(a.t, err)
	return apps
}

// status asks a provider for the pods of a name, or for all.
func (a *author) status(at *publisher.Target, name string) (pods []publisher.PodStatus, err error) {
	err = a.do(func(ctx context.Context, s *publisherd.Session) error {
		if err := s.Reach(ctx, *at); err != nil {
			return err
		}
		pods, err = s.Pods.PodStatus(ctx, at.ID, name)
		return err
	})
	return pods, err
}

// logs are the lines that a pod has written so far.
func (a *author) logs(at *publisher.Target, name string) (lines []string, err error) {
	err = a.do(func(ctx context.Context, s *publisherd.Session) error {
		if err := s.Reach(ctx, *at); err != nil {
			return err
		}
		return s.Pods.FollowLogs(ctx, at.ID, publisher.LogQuery{Name: name}, func(l publisher.LogLine) error {
			lines = append(lines, string(l.Text))
			return nil
		})
	})
	return lines, err
}

// delete deletes a pod and forgets the app.
func (a *author) delete(at *publisher.Target, name string) error {
	return a.do(func(ctx context.Context, s *publisherd.Session) error {
		if err := s.Reach(ctx, *at); err != nil {
			return err
		}
		if err := s.Pods.DeletePod(ctx, at.ID, name, false); err != nil {
			return err
		}
		return s.State.Delete(ctx, name, at.ID)
	})
}

// recorder notes the steps of a deploy.
type recorder struct {
	mu    sync.Mutex
	steps []string
}

func (r *recorder) note(e publisher.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	step := e.Event
	if e.Stage != "" {
		step += " " + e.Stage
	}
	if len(r.steps) == 0 || r.steps[len(r.steps)-1] != step {
		r.steps = append(r.steps, step)
	}
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.steps...)
}
