package mesh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/tlog"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
	"apocryph/provider/providerd"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// looks attests a provider and returns the check of its log.
func (a *author) looks(to *publisher.Target, p *policy.Policy) (c attest.Check, f *attest.TransparencyFacts, affirmed bool) {
	a.t.Helper()
	must(a.t, a.do(func(ctx context.Context, s *publisherd.Session) error {
		got, err := s.Attest(ctx, *to, p, attest.PurposeProvision, nil)
		if err != nil {
			return err
		}
		f, affirmed = got.Result.Transparency, got.Verdict.Affirmed
		for _, x := range got.Verdict.Checks {
			if x.Name == "transparency log" {
				c = x
			}
		}
		return nil
	}))
	return c, f, affirmed
}

// saw is what a publisher remembers of a provider's log.
func (a *author) saw(of *publisher.Target) publisher.SeenLog {
	a.t.Helper()
	st, err := a.node.State()
	must(a.t, err)
	l, err := st.Logs().Log(a.t.Context(), of.ID)
	must(a.t, err)
	return l
}

// TestLogOfTwoPublishers: each follows the log over the other's entries and the
// provider's restarts, and finds the releases of its own keys.
func TestLogOfTwoPublishers(t *testing.T) {
	t.Parallel()
	h, a, b := newHost(t), newAuthor(t), newAuthor(t)
	pol := a.policy(h.target())
	for round := range 3 {
		for _, who := range []*author{a, b} {
			c, f, ok := who.looks(h.target(), pol)
			if !ok || !c.OK || f == nil || !f.Included || f.Grown != (round > 0) {
				t.Fatalf("round %d: got %+v, %+v", round, c, f)
			}
		}
		h.stop()
		h.start()
	}
	j := secretive(t, image(t, 1<<10))
	j.to, j.policy = h.target(), pol
	_, err := a.deploy(t.Context(), j)
	must(t, err)
	if l := a.saw(h.target()); len(l.Releases) != 1 || l.Releases[0].PodID == "" {
		t.Errorf("remembered %+v", l)
	}
	if l := b.saw(h.target()); len(l.Releases) != 0 || len(l.Conflicts) != 0 {
		t.Errorf("remembered %+v", l)
	}
	for _, who := range []*author{a, b} {
		if c, f, ok := who.looks(h.target(), pol); !ok || !f.Grown {
			t.Errorf("got %+v", c)
		}
	}
	must(t, a.delete(h.target(), a.apps()[0].Name))
	h.clean()
}

// copyFiles copies those files of a directory that are there.
func copyFiles(t *testing.T, from, to string, names ...string) {
	t.Helper()
	for _, name := range names {
		must(t, os.RemoveAll(filepath.Join(to, name)))
		in, err := os.Open(filepath.Join(from, name))
		if os.IsNotExist(err) {
			continue
		}
		must(t, err)
		b, err := io.ReadAll(in)
		must(t, err)
		must(t, in.Close())
		must(t, os.WriteFile(filepath.Join(to, name), b, 0o600))
	}
}

// TestDiskGoesBack: an old copy of the store is found out by the provider, which
// does not start; with all of the old disk it starts, and is found out by who
// has seen more.
func TestDiskGoesBack(t *testing.T) {
	t.Parallel()
	h, a, late := newHost(t), newAuthor(t), newAuthor(t)
	pol := a.policy(h.target())
	a.looks(h.target(), pol)
	h.stop()
	store, all := []string{"state.db", "state.db-wal"}, []string{"state.db", "state.db-wal", "transparency.head"}
	old := t.TempDir()
	copyFiles(t, h.cfg.DataDir, old, all...)
	h.start()
	for range 3 {
		a.looks(h.target(), pol)
	}
	h.stop()
	good := t.TempDir()
	copyFiles(t, h.cfg.DataDir, good, all...)

	copyFiles(t, old, h.cfg.DataDir, store...)
	node, err := providerd.New(h.cfg)
	must(t, err)
	err = node.Run(t.Context())
	refused(t, err, status.Untrusted, "transparency.rollback")
	if hint := status.Public(err).Hint; !strings.Contains(hint, "identity.key") {
		t.Errorf("the hint is %q", hint)
	}

	copyFiles(t, old, h.cfg.DataDir, all...)
	h.start()
	c, f, ok := a.looks(h.target(), pol)
	if ok || c.OK || c.Code != "ATT-141" || f != nil {
		t.Errorf("got %+v", c)
	}
	if c, _, ok := late.looks(h.target(), pol); !ok || !c.OK {
		t.Errorf("who sees it for the first time got %+v", c)
	}
	if l := a.saw(h.target()); len(l.Conflicts) != 1 {
		t.Errorf("%d conflicts are kept", len(l.Conflicts))
	}
	// It goes on from the old state, until it has contradicted itself for others
	// to see: two heads of one size.
	proven := false
	for range 4 {
		a.looks(h.target(), pol)
		acc, err := a.saw(h.target()).Accuse(t.Context(), h.target().ID)
		if err == nil {
			proven = true
			_, _, err = acc.Check()
			must(t, err)
			break
		}
		refused(t, err, status.InvalidArgument, "tlog.unproven")
	}
	if !proven {
		t.Error("nothing proves it")
	}

	// The newest copy mends it.
	h.stop()
	copyFiles(t, good, h.cfg.DataDir, all...)
	h.start()
	if c, _, ok := a.looks(h.target(), pol); !ok || !c.OK {
		t.Errorf("with the newest disk: got %+v", c)
	}
	// And so does becoming another provider.
	h.stop()
	for _, name := range append(all, "identity.key") {
		must(t, os.RemoveAll(filepath.Join(h.cfg.DataDir, name)))
	}
	h.start()
	if c, f, ok := a.looks(h.target(), pol); !ok || f.Grown {
		t.Errorf("a new provider: got %+v", c)
	}
}

// twoFaced is a provider with one log for some and another for the rest.
type twoFaced struct {
	m    *mallory
	logs [2]*tlog.Log
	// face says which one a caller sees.
	face func(peer string) int
}

func (f *twoFaced) attest(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
	result, err := f.m.evidence(ctx, req, []byte(s.Peer()))
	if err != nil {
		return err
	}
	l, now := f.logs[f.face(s.Peer().String())], time.Now().UTC().Truncate(time.Millisecond)
	e := tlog.ClaimsEntry(now, attest.ClaimsDigest(result.Claims))
	n, err := l.Append(ctx, e)
	if err != nil {
		return err
	}
	note, h, err := l.Sign(ctx, f.m.node.ID().String(), bytes.Repeat([]byte{1}, 32), now, f.m.sign)
	if err != nil {
		return err
	}
	inclusion, err := l.ProveInclusion(ctx, n, h.Size)
	if err != nil {
		return err
	}
	w := &attestpb.TreeAnswer{Head: note}
	if w.Entry, err = e.Encode(); err != nil {
		return err
	}
	if w.Inclusion, err = inclusion.Encode(); err != nil {
		return err
	}
	if old := req.GetTree().GetSize(); old > 0 && old <= h.Size {
		c, err := l.ProveConsistency(ctx, old, h.Size)
		if err != nil {
			return err
		}
		if w.Consistency, err = c.Encode(); err != nil {
			return err
		}
	}
	result.Tree = w
	return s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Result{Result: result}})
}

// TestForkedLog: neither of two publishers notices while each sees a log of its
// own, both do when they compare, and one does when it is shown the other's.
func TestForkedLog(t *testing.T) {
	t.Parallel()
	h, a, b := newHost(t), newAuthor(t), newAuthor(t)
	pol := a.policy(h.target())
	first, second := "", 1
	m := newMallory(t, func(m *mallory) {
		f := &twoFaced{m: m, logs: [2]*tlog.Log{tlog.New(new(tlog.Memory)), tlog.New(new(tlog.Memory))}}
		f.face = func(peer string) int {
			if first == "" {
				first = peer
			}
			if peer == first {
				return 0
			}
			return second
		}
		m.attest = f.attest
	})
	for range 3 {
		for _, who := range []*author{a, b} {
			if c, _, ok := who.looks(m.target(), pol); !ok || !c.OK {
				t.Fatalf("got %+v", c)
			}
		}
	}
	one, other := a.saw(m.target()), b.saw(m.target())
	key := m.sign.Public().(ed25519.PublicKey)
	e, err := tlog.Accuse(t.Context(), string(m.target().ID), []ed25519.PublicKey{key}, one.Last.Note, other.Last.Note, nil)
	must(t, err)
	_, _, err = e.Check(string(m.target().ID), key)
	must(t, err)

	second = 0
	c, f, ok := b.looks(m.target(), pol)
	if ok || c.OK || c.Code != "ATT-141" || f != nil {
		t.Errorf("got %+v", c)
	}
	// Nothing is deployed there any more.
	j := secretive(t, image(t, 1<<10))
	j.to, j.policy = m.target(), pol
	_, err = b.deploy(t.Context(), j)
	refused(t, err, status.Untrusted, "attest.denied")
	m.gotNothingFrom(b)
	h.clean()
}
