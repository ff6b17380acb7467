package provider_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest"
	"apocryph/attest/tlog"
	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// watcher is a publisher that keeps the last head.
type watcher struct {
	id   provider.PublisherID
	last *tlog.Head
}

// shown attests and returns what the log showed, unchecked.
func (n *node) shown(p provider.PublisherID, tree provider.TreeRequest) (*attest.Claims, [32]byte, *provider.TreeAnswer, error) {
	ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: peerOf(p), ProviderPeer: peerID(0)}
	_, err := rand.Read(ch.Nonce[:])
	must(n.w.t, err)
	a, err := n.Attest(n.w.t.Context(), p, provider.AttestRequest{Challenge: ch, Tree: &tree}, nil)
	if err != nil {
		return nil, [32]byte{}, nil, err
	}
	c, err := attest.DecodeClaims(a.Claims)
	must(n.w.t, err)
	return c, attest.ClaimsDigest(a.Claims), a.Tree, nil
}

func (v *watcher) verifier(n *node, c *attest.Claims) tlog.Verifier {
	return tlog.Verifier{
		Peer: peer.ID(peerID(0)).String(), Key: ed25519.PublicKey(c.ReceiptPublicKey), BootEpoch: c.BootEpoch,
		Last: v.last, Now: n.w.now(), MaxAge: time.Minute,
	}
}

func proofOf(t testing.TB, head, inclusion, consistency []byte) tlog.Proof {
	t.Helper()
	p := tlog.Proof{Head: head}
	var err error
	p.Inclusion, err = tlog.DecodeInclusion(inclusion)
	must(t, err)
	if consistency != nil {
		p.Consistency, err = tlog.DecodeConsistency(consistency)
		must(t, err)
	}
	return p
}

// attest makes all checks of a publisher, and keeps the head.
func (v *watcher) attest(n *node) error {
	n.w.t.Helper()
	var size int64
	if v.last != nil {
		size = v.last.Size
	}
	c, digest, tree, err := n.shown(v.id, provider.TreeRequest{Size: size})
	if err != nil {
		return err
	}
	e, err := tlog.DecodeEntry(tree.Entry)
	must(n.w.t, err)
	if e.Claims != digest {
		n.w.t.Error("the entry is about other claims")
	}
	h, err := v.verifier(n, c).Check(e, proofOf(n.w.t, tree.Head, tree.Inclusion, tree.Consistency))
	if err == nil {
		v.last = &h
	}
	return err
}

// TestLogGrows: two publishers follow the log over restarts.
func TestLogGrows(t *testing.T) {
	w := newWorld(t)
	n := w.run()
	a, b := &watcher{id: alice}, &watcher{id: bob}
	for round := range 4 {
		must(t, a.attest(n))
		must(t, a.attest(n))
		if round > 1 {
			must(t, b.attest(n))
		}
		n.stop()
		n = w.run()
	}
	if size, _ := w.book.Size(t.Context()); size != 10 || a.last.Size != 9 || b.last.Size != 10 {
		t.Errorf("the log has %d entries, the publishers saw %d and %d", size, a.last.Size, b.last.Size)
	}
}

// TestAsksForLeaves: what was shown once can be asked for again by anybody.
func TestAsksForLeaves(t *testing.T) {
	w := newWorld(t)
	n := w.run()
	_, _, first, err := n.shown(alice, provider.TreeRequest{})
	must(t, err)
	e, err := tlog.DecodeEntry(first.Entry)
	must(t, err)
	c, _, second, err := n.shown(bob, provider.TreeRequest{Leaves: []tlog.Hash{{1}, e.Leaf()}})
	must(t, err)
	if len(second.Inclusions) != 2 || second.Inclusions[0] != nil || second.Consistency != nil {
		t.Fatalf("got %d inclusions", len(second.Inclusions))
	}
	v := watcher{}
	_, err = v.verifier(n, c).Check(e, proofOf(t, second.Head, second.Inclusions[1], nil))
	must(t, err)
	// Who says that it saw more than there is gets a head to draw conclusions from.
	_, _, third, err := n.shown(bob, provider.TreeRequest{Size: 99})
	must(t, err)
	if third.Consistency != nil || third.Head == nil {
		t.Error("a log that is shorter than the caller says was proven to be longer")
	}
}

// TestReleaseIsShown: the owner of a pod can open its release, again after a
// repetition, and each revision has its own.
func TestReleaseIsShown(t *testing.T) {
	w := newWorld(t)
	n := w.run()
	v := &watcher{id: alice}
	var entries []tlog.Entry
	for revision := range uint64(2) {
		c := order(t, alice, provider.Create, app("app", w.image("sleep")))
		if revision > 0 {
			c = order(t, alice, provider.Update, app("app", w.image("echo", ";", "sleep")), replaces(revision))
		}
		var size int64
		if v.last != nil {
			size = v.last.Size
		}
		claims, digest, tree, err := n.shown(alice, provider.TreeRequest{Size: size})
		must(t, err)
		h, err := v.verifier(n, claims).Advance(tree.Head, proofOf(t, tree.Head, tree.Inclusion, tree.Consistency).Consistency)
		must(t, err)
		v.last = &h
		req, _ := seal(t, c, claims.HPKEPublicKey, digest)
		for range 2 { // the second one is a repetition
			got, _, err := n.send(t.Context(), c, req)
			must(t, err)
			e, err := tlog.ReleaseEntry(got.Release.At, digest, tlog.Release{Salt: got.Release.Salt, Manifest: manifest.DigestOf(c.order.Manifest), PodID: string(got.PodID)})
			must(t, err)
			_, err = v.verifier(n, claims).Check(e, proofOf(t, got.Release.Head, got.Release.Inclusion, got.Release.Consistency))
			must(t, err)
			entries = append(entries, e)
		}
	}
	if entries[0] != entries[1] || entries[2] != entries[3] || entries[0].Release == entries[2].Release {
		t.Error("a repetition has a release of its own, or a revision has none")
	}
	if size, _ := w.book.Size(t.Context()); size != 4 {
		t.Errorf("the log has %d entries, want two of claims and two of releases", size)
	}
}

// TestNoReleaseWithoutEntry: where the log cannot be written nothing is attested
// and no key is used.
func TestNoReleaseWithoutEntry(t *testing.T) {
	w := newWorld(t)
	n := w.run()
	c := order(t, alice, provider.Create, app("app", w.image("sleep")))
	req, _ := n.sealed(c)
	w.crashAt = w.points + 3 // the pod log comes first, before and after; then the append of the release
	_, _, err := n.send(t.Context(), c, req)
	if !errors.Is(err, errDead) || w.last != "before append release" {
		t.Fatalf("got %v, and died %s", err, w.last)
	}
	if len(w.instances()) != 0 || len(w.store.records) != 0 {
		t.Error("a pod was made all the same")
	}
	w.crashAt = 0
	n = w.run()
	w.book.mu.Lock()
	w.book.fail = errors.New("no space left")
	w.book.mu.Unlock()
	if _, _, tree, err := n.shown(bob, provider.TreeRequest{}); err == nil || tree != nil {
		t.Error("a head was shown that was not saved")
	}
}

// TestRollback: a provider whose disk went back in time signs nothing.
func TestRollback(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		want   string
	}{
		"older log":      {func(w *world) { w.book = w.book.older(t.Context(), 1) }, "transparency.rollback"},
		"empty log":      {func(w *world) { w.book = &ledgerBook{saved: w.book.saved} }, "transparency.rollback"},
		"head is gone":   {func(w *world) { w.book.saved = nil }, "transparency.rollback"},
		"head is broken": {func(w *world) { w.book.saved = []byte("{") }, "transparency.rollback"},
		"head is another": {func(w *world) {
			w.book.saved = []byte(fmt.Sprintf(`{"version":1,"peer":%q,"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","note":"AA=="}`, peer.ID(peerID(0)).String()))
		}, "transparency.rollback"},
		"head of a newer version": {func(w *world) { w.book.saved[len(`{"version":`)] = '2' }, "transparency.rollback"},
		"other entries": {func(w *world) {
			w.book = &ledgerBook{saved: w.book.saved}
			for i := range 5 {
				_, err := tlog.New(w.book).Append(t.Context(), tlog.ClaimsEntry(time.UnixMilli(1), [32]byte{byte(i), 1}))
				must(t, err)
			}
		}, "transparency.rollback"},
		"all is new":        {func(w *world) { w.book = &ledgerBook{} }, ""},
		"nothing happened":  {func(*world) {}, ""},
		"crash after entry": {func(w *world) { w.book.saved = firstHead(t, w) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.run()
			for range 3 {
				must(t, (&watcher{id: alice}).attest(n))
			}
			n.stop()
			c.change(w)
			before := string(w.book.saved)
			d, err := provider.New(provider.Config{Peer: peerID(0), Now: w.now, Tree: w.book, Heads: w.book, BootEpoch: []byte{4}})
			must(t, err)
			err = d.OpenLog(t.Context())
			if c.want == "" {
				must(t, err)
				return
			}
			refused(t, err, status.Untrusted, c.want)
			if string(w.book.saved) != before {
				t.Error("a head was signed")
			}
			_, err = d.Attest(t.Context(), alice, provider.AttestRequest{Challenge: attest.Challenge{ProviderPeer: peerID(0)}}, nil)
			if err == nil {
				t.Error("it attests")
			}
			// The way out: another identity.
			d, err = provider.New(provider.Config{Peer: peerID(9), Now: w.now, Tree: &ledgerBook{}, Heads: &ledgerBook{}, BootEpoch: []byte{4}})
			must(t, err)
			must(t, d.OpenLog(t.Context()))
		})
	}
}

// firstHead is the head of the log's first entry.
func firstHead(t *testing.T, w *world) []byte {
	old := w.book.older(t.Context(), 1)
	old.saved = nil
	for _, e := range w.book.entries(t.Context())[:1] {
		fresh := &ledgerBook{}
		d, err := provider.New(provider.Config{Peer: peerID(0), Now: w.now, Tree: fresh, Heads: fresh, BootEpoch: []byte{4}})
		must(t, err)
		must(t, d.OpenLog(t.Context()))
		_, err = tlog.New(fresh).Append(t.Context(), e)
		must(t, err)
		d, err = provider.New(provider.Config{Peer: peerID(0), Now: w.now, Tree: fresh, Heads: fresh, BootEpoch: []byte{4}})
		must(t, err)
		must(t, d.OpenLog(t.Context()))
		return fresh.saved
	}
	return nil
}

// TestHeadsAreShared: publishers that come at once cost fewer writes than one
// each, and all of them see a log that has only grown.
func TestHeadsAreShared(t *testing.T) {
	w := newWorld(t)
	n := w.run()
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			v := &watcher{id: provider.PublisherID(fmt.Sprint(i))}
			for range 3 {
				if err := v.attest(n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if size, _ := w.book.Size(t.Context()); size != 96 || w.book.saves > 97 {
		t.Errorf("%d entries, %d heads", size, w.book.saves)
	}
}

// TestEntriesAreBounded: neither one publisher nor all of them make the log grow
// without bound, and who has to wait is told how long.
func TestEntriesAreBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var r provider.Rate
	took := 0
	for ; r.Take("greedy", now) == nil; took++ {
	}
	if took != 512 {
		t.Errorf("one publisher made %d entries at once", took)
	}
	var e *status.Error
	if err := r.Take("greedy", now); !errors.As(err, &e) || e.Reason != "attest.rate" || e.Code != status.ResourceExhausted || e.RetryAfter != 2*time.Second {
		t.Errorf("got %v", err)
	}
	must(t, r.Take("modest", now))
	must(t, r.Take("greedy", now.Add(2*time.Second)))
	if r.Take("greedy", now.Add(2*time.Second)) == nil {
		t.Error("two seconds gave two")
	}
	total := took + 2
	for i := 0; r.Take(provider.PublisherID(fmt.Sprint(i)), now.Add(2*time.Second)) == nil; i++ {
		total++
	}
	if total != 4096+8 {
		t.Errorf("all publishers made %d entries", total)
	}
	// A day later all is as it was, and the publishers are forgotten; a clock that
	// was set back locks nobody out.
	day := now.Add(24 * time.Hour)
	for i := range 2000 {
		must(t, r.Take(provider.PublisherID(fmt.Sprint("later", i)), day))
	}
	if n := r.Peers(); n > 2100 {
		t.Errorf("%d publishers are remembered", n)
	}
	must(t, r.Take("greedy", now.Add(-365*24*time.Hour)))
}
