package publisher_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/tlog"
	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// memoryLogs is a Logs.
type memoryLogs struct {
	mu   sync.Mutex
	seen map[publisher.ProviderID]publisher.SeenLog
	// before runs before each change.
	before func(*publisher.SeenLog)
}

func (m *memoryLogs) Log(_ context.Context, of publisher.ProviderID) (publisher.SeenLog, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[of], nil
}

func (m *memoryLogs) ChangeLog(_ context.Context, of publisher.ProviderID, change func(*publisher.SeenLog) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.seen[of]
	if m.before != nil {
		m.before(&l)
	}
	if err := change(&l); err != nil {
		return err
	}
	if m.seen == nil {
		m.seen = map[publisher.ProviderID]publisher.SeenLog{}
	}
	m.seen[of] = l
	return nil
}

// book is a provider's transparency log, and how it lies about it.
type book struct {
	t     *testing.T
	f     *fake
	log   *tlog.Log
	epoch []byte
	sign  ed25519.PrivateKey
	// answer and release change what is shown.
	answer  func(*publisher.TreeAnswer)
	release func(*publisher.ReleaseProof)
	// leave: claims are not appended.
	leave bool
	// shown is the size of the tree that came with the last claims.
	shown  int64
	leaves map[tlog.Hash]int64
}

func (b *book) fork(entries int) {
	b.log = tlog.New(new(tlog.Memory))
	for i := range entries {
		b.append(tlog.ClaimsEntry(b.time(), [32]byte{1, byte(i)}))
	}
}

func (b *book) time() time.Time { return b.f.w.now().UTC().Truncate(time.Millisecond) }

func (b *book) append(e tlog.Entry) int64 {
	n, err := b.log.Append(b.t.Context(), e)
	must(b.t, err)
	if b.leaves == nil {
		b.leaves = map[tlog.Hash]int64{}
	}
	b.leaves[e.Leaf()] = n
	return n
}

func (b *book) head() ([]byte, tlog.Head) {
	note, h, err := b.log.Sign(b.t.Context(), string(b.f.id), b.epoch, b.time(), b.sign)
	must(b.t, err)
	return note, h
}

func (b *book) inclusion(n, size int64) []byte {
	p, err := b.log.ProveInclusion(b.t.Context(), n, size)
	must(b.t, err)
	raw, err := p.Encode()
	must(b.t, err)
	return raw
}

func (b *book) consistency(old, size int64) []byte {
	if old == 0 || old > size {
		return nil
	}
	p, err := b.log.ProveConsistency(b.t.Context(), old, size)
	must(b.t, err)
	raw, err := p.Encode()
	must(b.t, err)
	return raw
}

func (b *book) show(claims []byte, req publisher.TreeRequest) *publisher.TreeAnswer {
	e := tlog.ClaimsEntry(b.time(), attest.ClaimsDigest(claims))
	var n int64
	if !b.leave {
		n = b.append(e)
	}
	note, h := b.head()
	raw, err := e.Encode()
	must(b.t, err)
	out := &publisher.TreeAnswer{Head: note, Entry: raw, Inclusion: b.inclusion(n, h.Size), Consistency: b.consistency(req.Size, h.Size)}
	for _, leaf := range req.Leaves {
		var p []byte
		if n, ok := b.leaves[leaf]; ok {
			p = b.inclusion(n, h.Size)
		}
		out.Inclusions = append(out.Inclusions, p)
	}
	b.shown = h.Size
	if b.answer != nil {
		b.answer(out)
	}
	return out
}

func (b *book) released(claims [32]byte, m []byte, pod string) *publisher.ReleaseProof {
	r := tlog.Release{Salt: [32]byte{7}, Manifest: manifest.DigestOf(m), PodID: pod}
	e, err := tlog.ReleaseEntry(b.time(), claims, r)
	must(b.t, err)
	n := b.append(e)
	note, h := b.head()
	out := &publisher.ReleaseProof{At: e.At, Salt: r.Salt, Head: note, Inclusion: b.inclusion(n, h.Size), Consistency: b.consistency(b.shown, h.Size)}
	if b.release != nil {
		b.release(out)
	}
	return out
}

// logs gives a provider a transparency log.
func logs(f *fake) {
	b := &book{t: f.w.t, f: f, epoch: bytes.Repeat([]byte{1}, 32), sign: f.sign, log: tlog.New(new(tlog.Memory))}
	f.book = b
}

func (w *world) attest(f *fake) *publisher.Attested {
	w.t.Helper()
	a, err := w.service().Attest(w.t.Context(), publisher.Target{ID: f.id}, w.policy(), attest.PurposeProvision, nil)
	must(w.t, err)
	return a
}

func (w *world) seen(f *fake) publisher.SeenLog {
	l, err := w.Logs.Log(w.t.Context(), f.id)
	must(w.t, err)
	return l
}

// TestLogIsFollowed over attestations, restarts with other keys, and silence of
// providers that never had a log.
func TestLogIsFollowed(t *testing.T) {
	w := newWorld(t)
	p, silent := w.provider("p", logs), w.provider("q")
	for i := range int64(4) {
		a := w.attest(p)
		want := attest.TransparencyFacts{Included: true, Grown: i > 0, Size: i + 1, Number: i}
		if !a.Verdict.Affirmed || a.Result.Transparency == nil || *a.Result.Transparency != want {
			t.Fatalf("got %+v and %+v, want %+v", a.Verdict, a.Result.Transparency, want)
		}
		c := a.Result.Checks[len(a.Result.Checks)-1]
		if c.Code != "ATT-140" || !c.OK || c.Anchor != attest.AnchorAgentAsserted {
			t.Errorf("got the check %+v", c)
		}
		if i == 1 {
			_, p.sign, _ = ed25519.GenerateKey(nil)
			p.book.sign = p.sign
		}
	}
	if a := w.attest(silent); !a.Verdict.Affirmed || a.Result.Transparency != nil || len(w.seen(silent).Last.Note) != 0 {
		t.Errorf("a provider without a log: got %+v", a.Verdict)
	}
}

// TestLogLies: each lie denies, the head that was good stays, and what proves
// the lie is kept.
func TestLogLies(t *testing.T) {
	for name, c := range map[string]struct {
		lie      func(*testing.T, *book)
		code     string
		conflict bool
	}{
		"not in the log":  {func(_ *testing.T, b *book) { b.leave = true }, "ATT-140", false},
		"no log any more": {func(_ *testing.T, b *book) { b.f.book = nil }, "ATT-140", false},
		"an entry about others": {func(t *testing.T, b *book) {
			b.answer = func(a *publisher.TreeAnswer) {
				e, err := tlog.DecodeEntry(a.Entry)
				must(t, err)
				e.Claims[0] ^= 1
				a.Entry, err = e.Encode()
				must(t, err)
			}
		}, "ATT-140", false},
		"rolled back":         {func(_ *testing.T, b *book) { b.fork(1) }, "ATT-141", true},
		"forked, longer":      {func(_ *testing.T, b *book) { b.fork(9) }, "ATT-141", true},
		"forked, of one size": {func(_ *testing.T, b *book) { b.fork(2) }, "ATT-141", true},
		"no consistency":      {func(_ *testing.T, b *book) { b.answer = func(a *publisher.TreeAnswer) { a.Consistency = nil } }, "ATT-141", true},
		"no inclusion":        {func(_ *testing.T, b *book) { b.answer = func(a *publisher.TreeAnswer) { a.Inclusion = nil } }, "ATT-140", false},
		"no head":             {func(_ *testing.T, b *book) { b.answer = func(a *publisher.TreeAnswer) { a.Head = nil } }, "ATT-040", false},
		"no entry":            {func(_ *testing.T, b *book) { b.answer = func(a *publisher.TreeAnswer) { a.Entry = nil } }, "ATT-011", false},
		"broken consistency":  {func(_ *testing.T, b *book) { b.answer = func(a *publisher.TreeAnswer) { a.Consistency = []byte("c") } }, "ATT-011", false},
		"huge inclusion": {func(_ *testing.T, b *book) {
			b.answer = func(a *publisher.TreeAnswer) { a.Inclusion = make([]byte, 1<<20) }
		}, "ATT-010", false},
		"signed by another": {func(_ *testing.T, b *book) { _, b.sign, _ = ed25519.GenerateKey(nil) }, "ATT-040", false},
		"of another boot":   {func(_ *testing.T, b *book) { b.epoch = []byte{9} }, "ATT-024", false},
		"replayed head":     {replayed, "ATT-141", true},
		"stale head":        {stale, "ATT-024", false},
		"the head of tomorrow": {func(_ *testing.T, b *book) {
			b.f.w.pass(24 * time.Hour)
			b.head()
			b.f.w.pass(-24 * time.Hour)
			b.ahead()
		}, "ATT-024", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider("p", logs)
			for range 3 {
				w.attest(p)
			}
			before := w.seen(p)
			c.lie(t, p.book)
			a := w.attest(p)
			failed, ok := a.Verdict.Failed()
			if a.Verdict.Affirmed || !ok || failed.Code != c.code || failed.Anchor != attest.AnchorAgentAsserted {
				t.Fatalf("got %+v, want %s", failed, c.code)
			}
			if a.Result.Transparency != nil {
				t.Errorf("a policy would find %+v", a.Result.Transparency)
			}
			after := w.seen(p)
			if !bytes.Equal(before.Last.Note, after.Last.Note) {
				t.Error("the head that was good is forgotten")
			}
			if got := len(after.Conflicts) == 1; got != c.conflict {
				t.Fatalf("%d conflicts are kept", len(after.Conflicts))
			}
			if c.conflict {
				x := after.Conflicts[0]
				for _, h := range []publisher.SignedHead{x.Before, x.After} {
					_, err := tlog.OpenHead(h.Note, string(p.id), h.Key)
					must(t, err)
				}
			}
		})
	}
}

func replayed(t *testing.T, b *book) {
	p, err := b.log.ProveInclusion(t.Context(), 0, 1)
	must(t, err)
	raw, err := p.Encode()
	must(t, err)
	old := tlog.New(new(tlog.Memory))
	_, err = old.Append(t.Context(), tlog.ClaimsEntry(b.time(), [32]byte{1}))
	must(t, err)
	b.answer = func(a *publisher.TreeAnswer) {
		a.Head, _, err = old.Sign(t.Context(), string(b.f.id), b.epoch, b.time(), b.sign)
		must(t, err)
		a.Inclusion, a.Consistency = raw, nil
	}
}

func stale(_ *testing.T, b *book) {
	b.answer = func(a *publisher.TreeAnswer) { a.Head, _ = b.at(-time.Hour) }
}

func (b *book) ahead() { b.answer = func(a *publisher.TreeAnswer) { a.Head, _ = b.at(time.Hour) } }

func (b *book) at(d time.Duration) ([]byte, tlog.Head) {
	note, h, err := b.log.Sign(b.t.Context(), string(b.f.id), b.epoch, b.time().Add(d), b.sign)
	must(b.t, err)
	return note, h
}

// TestTwoCommandsAtOnce: what another command has seen meanwhile is gone on
// from, not overwritten.
func TestTwoCommandsAtOnce(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p", logs)
	w.attest(p)
	m := w.Logs.(*memoryLogs)
	times := 2
	m.before = func(l *publisher.SeenLog) {
		if times--; times >= 0 {
			note, _ := p.book.head()
			l.Last.Note = append([]byte(nil), note...)
			m.seen[p.id] = *l
		}
		w.clock = w.clock.Add(time.Second)
	}
	if a := w.attest(p); !a.Verdict.Affirmed || a.Result.Transparency.Size != 4 {
		t.Errorf("got %+v", a.Result.Transparency)
	}
	times = 99
	_, err := w.service().Attest(t.Context(), publisher.Target{ID: p.id}, w.policy(), attest.PurposeProvision, nil)
	refused(t, err, status.Unavailable, "transparency.moved")
}

// TestReleaseIsChecked: a deploy ends well only where the log has the release.
func TestReleaseIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		lie          func(*fake)
		code         status.Code
		reason       string
		releases     int
		attestations int
	}{
		"good":          {func(*fake) {}, 0, "", 1, 1},
		"not shown":     {func(f *fake) { f.book.release = nil; f.result = func(p *publisher.Provisioned) { p.Release = nil } }, status.Untrusted, "transparency.release", 0, 1},
		"another salt":  {func(f *fake) { f.book.release = func(r *publisher.ReleaseProof) { r.Salt[0] ^= 1 } }, status.Untrusted, "tlog.not_included", 0, 1},
		"no salt":       {func(f *fake) { f.book.release = func(r *publisher.ReleaseProof) { r.Salt = [32]byte{} } }, status.Untrusted, "transparency.release", 0, 1},
		"another time":  {func(f *fake) { f.book.release = func(r *publisher.ReleaseProof) { r.At = r.At.Add(time.Second) } }, status.Untrusted, "tlog.not_included", 0, 1},
		"another pod":   {func(f *fake) { f.result = func(p *publisher.Provisioned) { p.PodID += "x" } }, status.Untrusted, "tlog.not_included", 0, 1},
		"inconsistent":  {func(f *fake) { f.book.release = func(r *publisher.ReleaseProof) { r.Consistency = nil } }, status.Untrusted, "tlog.inconsistent", 0, 1},
		"broken proof":  {func(f *fake) { f.book.release = func(r *publisher.ReleaseProof) { r.Inclusion = []byte("i") } }, status.InvalidArgument, "tlog.parse", 0, 1},
		"started again": {restarted, 0, "", 1, 3},
		"started again without the entry": {func(f *fake) {
			restarted(f)
			then := f.result
			f.result = func(p *publisher.Provisioned) { then(p); clear(f.book.leaves) }
		}, status.Untrusted, "tlog.not_included", 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider("p", logs)
			c.lie(p)
			_, err := w.service().Deploy(t.Context(), w.request(to(p)))
			if c.reason == "" {
				must(t, err)
			} else {
				refused(t, err, c.code, c.reason)
			}
			l := w.seen(p)
			if len(l.Releases) != c.releases {
				t.Errorf("%d releases are remembered", len(l.Releases))
			}
			if got := w.done("attest"); len(got) != c.attestations {
				t.Errorf("did %q", got)
			}
			if c.releases > 0 {
				r := l.Releases[0]
				e, err := tlog.ReleaseEntry(r.At, r.Claims, tlog.Release{Salt: r.Salt, Manifest: r.ManifestDigest, PodID: r.PodID})
				must(t, err)
				if r.App != "app" || p.book.leaves[e.Leaf()] != r.Number {
					t.Errorf("got %+v, the log has %v", r, slices.Collect(maps.Keys(p.book.leaves)))
				}
				// And the log goes on from there.
				if a := w.attest(p); !a.Verdict.Affirmed || !a.Result.Transparency.Grown {
					t.Errorf("got %+v", a.Verdict)
				}
			}
		})
	}
}

// restarted makes a provider answer an order with the keys of a new start.
func restarted(f *fake) {
	f.result = func(p *publisher.Provisioned) {
		_, f.sign, _ = ed25519.GenerateKey(nil)
		f.book.sign = f.sign
		p.Release.Head, _ = f.book.head()
		p.Release.Consistency = nil
	}
}
