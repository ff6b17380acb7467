package tlog

import (
	"testing"
	"time"

	"apocryph/proto/status"
)

// client is a publisher who keeps the last head.
func client(w *world, last *Head) Verifier {
	return Verifier{Peer: peer, Key: pub(key), BootEpoch: epoch, Last: last, Now: w.now, MaxAge: time.Minute}
}

// prove is what an honest provider answers for an entry.
func (w *world) prove(index int64, last *Head) Proof {
	note, h := w.sign()
	p := Proof{Head: note, Inclusion: w.inclusion(index, h.Size)}
	if last != nil && last.Size <= h.Size {
		p.Consistency = w.consistency(last.Size, h.Size)
	}
	return p
}

// An honest log and a client, over several visits, of which some see nothing new.
func TestVerifierFollowsALog(t *testing.T) {
	w := newWorld(t, nil)
	var last *Head
	for i := range 24 {
		if i%2 == 0 {
			w.add(entry("a", i/2))
		}
		p := w.prove(int64(i/2), last)
		h, err := client(w, last).Check(entry("a", i/2), p)
		if err != nil {
			t.Fatalf("visit %d: %v", i, err)
		}
		last = &h
	}
	if last.Size != 12 {
		t.Errorf("the last head has %d entries", last.Size)
	}
}

func TestVerifierRefuses(t *testing.T) {
	es := entries("a", 8)
	w := newWorld(t, es[:4])
	oldNote, old := w.sign()
	w.add(es[4:]...)
	note, _ := w.sign()
	good := Proof{note, w.inclusion(5, 8), w.consistency(4, 8)}

	// The lying logs: the same beginning, and then something else.
	fork := newWorld(t, append(entries("a", 3), entries("b", 5)...))
	forkNote, _ := fork.sign()
	forkSmall := newWorld(t, append(entries("a", 3), entry("b", 0)))
	forkSmallNote, _ := forkSmall.sign()
	rewritten := entries("a", 8)
	rewritten[1] = entry("b", 1)
	rewrite := newWorld(t, rewritten)
	rewriteNote, _ := rewrite.sign()
	cut := newWorld(t, es[:3])
	cutNote, _ := cut.sign()
	foreign, _, err := w.log.Sign(t.Context(), peer, epoch, w.now, otherKey)
	if err != nil {
		t.Fatal(err)
	}
	reboot, _, err := w.log.Sign(t.Context(), peer, []byte{9}, w.now, key)
	if err != nil {
		t.Fatal(err)
	}

	for name, tt := range map[string]struct {
		edit   func(*Verifier, *Proof)
		entry  Entry
		code   status.Code
		reason string
	}{
		"wrong key":    {func(_ *Verifier, p *Proof) { p.Head = foreign }, es[5], status.Untrusted, "tlog.signature"},
		"another boot": {func(_ *Verifier, p *Proof) { p.Head = reboot }, es[5], status.Untrusted, "tlog.boot"},
		"another peer": {func(v *Verifier, _ *Proof) { v.Peer = "12D3KooWOther" }, es[5], status.Untrusted, "tlog.signature"},
		"replayed old head": {func(v *Verifier, p *Proof) {
			v.Last = headOf(t, note)
			*p = Proof{oldNote, w.inclusion(2, 4), Consistency{}}
		}, es[2], status.Untrusted, "tlog.rollback"},
		"truncated":           {func(_ *Verifier, p *Proof) { *p = Proof{cutNote, cut.inclusion(2, 3), Consistency{}} }, es[2], status.Untrusted, "tlog.rollback"},
		"forked":              {func(_ *Verifier, p *Proof) { *p = Proof{forkNote, fork.inclusion(5, 8), fork.consistency(4, 8)} }, entry("b", 2), status.Untrusted, "tlog.inconsistent"},
		"forked, our proof":   {func(_ *Verifier, p *Proof) { *p = Proof{forkNote, fork.inclusion(5, 8), good.Consistency} }, entry("b", 2), status.Untrusted, "tlog.inconsistent"},
		"forked at this size": {func(_ *Verifier, p *Proof) { *p = Proof{forkSmallNote, forkSmall.inclusion(3, 4), Consistency{}} }, entry("b", 0), status.Untrusted, "tlog.equivocation"},
		"entry rewritten": {func(_ *Verifier, p *Proof) {
			*p = Proof{rewriteNote, rewrite.inclusion(5, 8), rewrite.consistency(4, 8)}
		}, es[5], status.Untrusted, "tlog.inconsistent"},
		"no consistency":    {func(_ *Verifier, p *Proof) { p.Consistency = Consistency{} }, es[5], status.Untrusted, "tlog.inconsistent"},
		"not in the log":    {func(*Verifier, *Proof) {}, entry("b", 0), status.Untrusted, "tlog.not_included"},
		"another place":     {func(*Verifier, *Proof) {}, es[4], status.Untrusted, "tlog.not_included"},
		"proof of old tree": {func(_ *Verifier, p *Proof) { p.Inclusion = w.inclusion(2, 4) }, es[2], status.Untrusted, "tlog.not_included"},
		"stale":             {func(v *Verifier, _ *Proof) { v.Now = v.Now.Add(time.Minute + time.Millisecond) }, es[5], status.Untrusted, "tlog.stale"},
		"from the future":   {func(v *Verifier, _ *Proof) { v.Now = v.Now.Add(-maxSkew - time.Millisecond) }, es[5], status.Untrusted, "tlog.stale"},
		"no head":           {func(_ *Verifier, p *Proof) { p.Head = nil }, es[5], status.Untrusted, "tlog.signature"},
		"no key":            {func(v *Verifier, _ *Proof) { v.Key = nil }, es[5], status.InvalidArgument, "tlog.invalid"},
		"no boot":           {func(v *Verifier, _ *Proof) { v.BootEpoch = nil }, es[5], status.InvalidArgument, "tlog.invalid"},
		"no age":            {func(v *Verifier, _ *Proof) { v.MaxAge = 0 }, es[5], status.InvalidArgument, "tlog.invalid"},
		"no time":           {func(v *Verifier, _ *Proof) { v.Now = time.Time{} }, es[5], status.InvalidArgument, "tlog.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			v, p := client(w, &old), good
			tt.edit(&v, &p)
			h, err := v.Check(tt.entry, p)
			refused(t, err, tt.code, tt.reason)
			if h.Peer != "" {
				t.Error("a head came out")
			}
		})
	}
	if _, err := client(w, &old).Check(es[5], good); err != nil {
		t.Errorf("the honest log: %v", err)
	}
	if _, err := client(w, nil).Check(es[5], good); err != nil {
		t.Errorf("at the first contact: %v", err)
	}
	if h, err := client(w, &old).Advance(note, good.Consistency); err != nil || h.Size != 8 {
		t.Errorf("watching: %v", err)
	}
}

func headOf(t *testing.T, note []byte) *Head {
	h := must[Head](t)(OpenHead(note, peer, pub(key)))
	return &h
}
