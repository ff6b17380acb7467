package mesh

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// attestPod asks a provider what became of an app.
func (a *author) attestPod(at *publisher.Target, p *policy.Policy, app publisher.App) (out *publisher.Attested, err error) {
	err = a.do(func(ctx context.Context, s *publisherd.Session) error {
		out, err = s.AttestPod(ctx, *at, p, app)
		return err
	})
	return out, err
}

// count counts the events of a kind, and those that were opened.
func count(log []podlog.Entry, kind podlog.Type) (all, opened int) {
	for _, e := range log {
		if e.Record.Type == kind {
			all++
			if e.Event != nil {
				opened++
			}
		}
	}
	return all, opened
}

// TestPodLog: two tenants each see that their own pod is what they deployed,
// through an update, a restart of the provider and a deletion, and nothing of
// the other's but that something happened.
func TestPodLog(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	to := h.target()
	alice, bob := newAuthor(t), newAuthor(t)
	pol := alice.policy(to)
	deploy := func(a *author, m string) publisher.App {
		t.Helper()
		d, err := a.deploy(t.Context(), job{manifest: m, to: to, policy: pol})
		must(t, err)
		return d.App
	}
	affirmed := func(a *author, app publisher.App) []podlog.Entry {
		t.Helper()
		got, err := a.attestPod(to, pol, app)
		must(t, err)
		if !got.Verdict.Affirmed || !slices.ContainsFunc(got.Verdict.Checks, func(c attest.Check) bool {
			return c.Code == "ATT-111" && c.OK && c.Anchor == attest.AnchorAgentAsserted
		}) {
			t.Errorf("got %+v", got.Verdict.Checks)
		}
		return got.Log
	}
	img := image(t, 1<<10)
	hers := deploy(alice, app("shop", img))
	his := deploy(bob, app("shop", image(t, 2<<10)))
	log := affirmed(alice, hers)
	affirmed(bob, his)
	for _, kind := range []podlog.Type{podlog.TypePodCreate, podlog.TypeImageExec, podlog.TypePodStart, podlog.TypeKeyRelease} {
		if all, opened := count(log, kind); all != 2 || opened != 1 {
			t.Errorf("%s: alice sees %d and opens %d", kind, all, opened)
		}
	}
	// Whose a pod is shows in no answer.
	var foreign, unknown error
	_, foreign = alice.attestPod(to, pol, his)
	none := his
	none.PodID = string(bytes.Repeat([]byte{'a'}, len(his.PodID)))
	_, unknown = alice.attestPod(to, pol, none)
	refused(t, foreign, status.NotFound, "pod.unknown")
	refused(t, unknown, status.NotFound, "pod.unknown")

	before := hers
	hers = deploy(alice, app("shop", img, "env: {GREETING: again}"))
	affirmed(alice, hers)
	affirmed(bob, his)
	// What was deployed before does not run any more.
	got, err := alice.attestPod(to, pol, before)
	must(t, err)
	if c, failed := got.Verdict.Failed(); got.Verdict.Affirmed || !failed || c.Code != "ATT-110" {
		t.Errorf("got %+v", c)
	}

	length := len(affirmed(alice, hers))
	h.stop()
	h.start()
	to = h.target()
	log = affirmed(alice, hers)
	affirmed(bob, his)
	if starts, _ := count(log, podlog.TypeAgentStart); starts != 2 || len(log) != length+3 {
		t.Errorf("after a restart: %d starts, and %d events after %d", starts, len(log), length)
	}
	must(t, bob.delete(to, "shop"))
	_, err = bob.attestPod(to, pol, his)
	refused(t, err, status.NotFound, "pod.unknown")
	if stops, opened := count(affirmed(alice, hers), podlog.TypePodStop); stops != 2 || opened != 1 {
		t.Errorf("alice sees %d ends and opens %d", stops, opened)
	}
	must(t, alice.delete(to, "shop"))
	h.clean()
}

// forger is a provider on an accepted machine that makes up its log.
type forger struct {
	events []podlog.Event
	claims attest.PodClaims
	// pages changes what is sent of the log.
	pages func([]*attestpb.LogPage) []*attestpb.LogPage
}

// TestForgedLogs: what a provider says of a pod is held against what was deployed.
func TestForgedLogs(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	pol := newAuthor(t).policy(h.target())
	d := func(s string) manifest.Digest { return manifest.DigestOf([]byte(s)) }
	for _, c := range []struct {
		name string
		lie  func(*forger)
		// code is that of the check that fails, "" where the answer is no log at all.
		code, reason string
	}{
		{"the truth", func(*forger) {}, "", ""},
		{"another image in the log", func(f *forger) { f.events[4].(*podlog.ImageExec).ImageID = d("evil") }, "ATT-111", ""},
		{"another image in the claims", func(f *forger) { f.claims.Images[0].ImageID = d("evil").String() }, "ATT-111", ""},
		{"another manifest in the log", func(f *forger) { f.events[3].(*podlog.PodCreate).Manifest = d("evil") }, "ATT-110", ""},
		{"a container beside it", func(f *forger) {
			side := *f.events[4].(*podlog.ImageExec)
			side.Container = "side"
			f.events = slices.Insert(f.events, 5, podlog.Event(&side))
		}, "ATT-111", ""},
		{"configured after ready", func(f *forger) { f.events = append(f.events, f.events[1]) }, "ATT-102", ""},
		{"no log", func(f *forger) { f.pages = func([]*attestpb.LogPage) []*attestpb.LogPage { return nil } }, "ATT-100", ""},
		{"withheld openings", func(f *forger) {
			f.pages = func(p []*attestpb.LogPage) []*attestpb.LogPage { p[0].Openings = nil; return p }
		}, "ATT-104", ""},
		{"twice the same part", func(f *forger) {
			f.pages = func(p []*attestpb.LogPage) []*attestpb.LogPage { return append(p, p...) }
		}, "", "peer.log"},
		{"an empty part", func(f *forger) {
			f.pages = func(p []*attestpb.LogPage) []*attestpb.LogPage {
				none, _ := podlog.EncodeList(nil)
				return append(p, &attestpb.LogPage{From: uint64(len(f.events)), Records: none})
			}
		}, "", "peer.log"},
		{"no list", func(f *forger) {
			f.pages = func(p []*attestpb.LogPage) []*attestpb.LogPage { p[0].Records = p[0].Records[1:]; return p }
		}, "", "podlog.record"},
		{"an opening from elsewhere", func(f *forger) {
			f.pages = func(p []*attestpb.LogPage) []*attestpb.LogPage { p[0].Openings[0].Seq = 999; return p }
		}, "", "peer.log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, m := newAuthor(t), newMallory(t, func(m *mallory) { m.attest = m.forges(c.lie, d) })
			app := publisher.App{
				Name: "shop", PodID: "pod", Revision: 1, ManifestDigest: d("manifest").String(),
				Images: []publisher.AppImage{{Container: "web", CID: "bafy", ImageID: d("image").String()}},
			}
			got, err := a.attestPod(m.target(), pol, app)
			if c.reason != "" {
				refused(t, err, status.InvalidArgument, c.reason)
				return
			}
			must(t, err)
			failed, _ := got.Verdict.Failed()
			if failed.Code != c.code || got.Verdict.Affirmed != (c.code == "") {
				t.Errorf("affirmed %t, failed %+v", got.Verdict.Affirmed, failed)
			}
		})
	}
	h.clean()
}

// forges answers with a log that is in form, but for one lie.
func (m *mallory) forges(lie func(*forger), d func(string) manifest.Digest) func(context.Context, *rpc.ServerStream[*attestpb.AttestResponse], *attestpb.AttestRequest) error {
	return func(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
		at := time.Now().Truncate(time.Millisecond)
		f := &forger{
			claims: attest.PodClaims{PodID: "pod", ManifestDigest: bytes.Clone(d2b(d("manifest"))), Images: []attest.ImageClaims{{Container: "web", CID: "bafy", ImageID: d("image").String()}}},
			events: []podlog.Event{
				&podlog.AgentStart{At: at, Version: "test", Binary: d("program"), Provider: "mallory", BootEpoch: bytes.Repeat([]byte{1}, 32)},
				&podlog.Config{At: at, Name: "settings", Effective: d("settings"), Storage: "none"},
				&podlog.Ready{At: at},
				&podlog.PodCreate{At: at, PodID: "pod", Revision: 1, Publisher: "alice", Manifest: d("manifest")},
				&podlog.ImageExec{
					At: at, PodID: "pod", Instance: "pod-1-0", Container: "web", CID: "bafy", ImageID: d("image"),
					Args: d("args"), Env: d("env"), Mounts: d("mounts"), Capabilities: d("capabilities"),
				},
				&podlog.PodStart{At: at, PodID: "pod", Revision: 1, Instance: "pod-1-0"},
			},
			pages: func(p []*attestpb.LogPage) []*attestpb.LogPage { return p },
		}
		lie(f)
		page, records := &attestpb.LogPage{}, []podlog.Record(nil)
		result, err := m.bound(ctx, req, []byte(s.Peer()), func(c *attest.Claims) error {
			f.events[0].(*podlog.AgentStart).Keys = podlog.KeysDigest(c.HPKEPublicKey, c.ReceiptPublicKey)
			for i, e := range f.events {
				r, o, err := podlog.Seal(uint64(i), e, podlog.Salt{1})
				if err != nil {
					return err
				}
				b, err := o.Encode()
				if err != nil {
					return err
				}
				records = append(records, r)
				page.Openings = append(page.Openings, &attestpb.LogOpening{Seq: uint64(i), Opening: b})
			}
			head, err := podlog.Replay(records, podlog.Head{})
			c.PodLogHead, c.PodLogLength, c.Pod = head.SHA384[:], head.Length, &f.claims
			return err
		})
		if err != nil {
			return err
		}
		if page.Records, err = podlog.EncodeList(records); err != nil {
			return err
		}
		for _, p := range f.pages([]*attestpb.LogPage{page}) {
			if err := s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Event{Event: &attestpb.AttestEvent{Body: &attestpb.AttestEvent_Log{Log: p}}}}); err != nil {
				return err
			}
		}
		return s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Result{Result: result}})
	}
}

func d2b(d manifest.Digest) []byte { return d[:] }

// bound is evidence of claims that were changed before.
func (m *mallory) bound(ctx context.Context, req *attestpb.AttestRequest, verifier []byte, change func(*attest.Claims) error) (result *attestpb.AttestResult, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var failed error
	m.claims = func(c *attest.Claims) { failed = change(c) }
	result, err = m.evidence(ctx, req, verifier)
	if failed != nil {
		return nil, failed
	}
	return result, err
}
