package tlog

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

// forked is the proof that a provider showed 5 entries to one and 8 to another,
// which agree in 3 only.
func forked(t testing.TB) ([]Entry, Equivocation) {
	t.Helper()
	es := append(entries("a", 3), entries("b", 5)...)
	one, _ := newWorld(t, entries("a", 5)).sign()
	two, _ := newWorld(t, es).sign()
	return es, must[Equivocation](t)(Accuse(t.Context(), peer, keys, one, two, es))
}

// A third party gets bytes, and has nothing but the key.
func TestEquivocationConvinces(t *testing.T) {
	_, different := forked(t)
	a, _ := newWorld(t, entries("a", 5)).sign()
	b, _ := newWorld(t, entries("b", 5)).sign()
	same := must[Equivocation](t)(Accuse(t.Context(), peer, keys, a, b, nil))
	for name, e := range map[string]Equivocation{"different sizes": different, "one size": same} {
		t.Run(name, func(t *testing.T) {
			wire := must[[]byte](t)(e.Export())
			if len(wire) > MaxEquivocation {
				t.Errorf("%d bytes", len(wire))
			}
			got := must[Equivocation](t)(ImportEquivocation(wire))
			if diff := cmp.Diff(e, got); diff != "" {
				t.Error(diff)
			}
			old, now, err := got.Check(peer, pub(otherKey), pub(key))
			if err != nil {
				t.Fatal(err)
			}
			if old.Size != 5 || now.Size < old.Size {
				t.Errorf("heads of %d and %d", old.Size, now.Size)
			}
		})
	}
}

// All forks of small logs can be proven, wherever they are, and in any order of heads.
func TestEveryForkIsProvable(t *testing.T) {
	for size := int64(1); size <= 9; size++ {
		for small := int64(1); small <= size; small++ {
			for at := range small {
				es := append(entries("a", int(at)), entries("b", int(size-at))...)
				one, _ := newWorld(t, entries("a", int(small))).sign()
				two, _ := newWorld(t, es).sign()
				if _, err := Accuse(t.Context(), peer, keys, two, one, es); err != nil {
					t.Errorf("%d and %d, forked at %d: %v", small, size, at, err)
				}
			}
		}
	}
}

// The provider starts again in between, with another key.
func TestEquivocationAcrossKeys(t *testing.T) {
	one, _ := newWorld(t, entries("a", 5)).sign()
	w := newWorld(t, entries("b", 5))
	two, _, err := w.log.Sign(t.Context(), peer, []byte{9}, w.now, otherKey)
	if err != nil {
		t.Fatal(err)
	}
	both := []ed25519.PublicKey{pub(key), pub(otherKey)}
	e := must[Equivocation](t)(Accuse(t.Context(), peer, both, one, two, nil))
	if _, _, err := e.Check(peer, both...); err != nil {
		t.Error(err)
	}
	_, _, err = e.Check(peer, pub(key))
	refused(t, err, status.Untrusted, "tlog.signature")
}

// An honest log cannot be accused, with whatever entries.
func TestHonestLogsCannotBeAccused(t *testing.T) {
	es := entries("a", 9)
	w, hs := heads(t, es)
	notes := make([][]byte, len(hs))
	for i, h := range hs {
		notes[i] = must[[]byte](t)(SignHead(h, key))
	}
	for i := range notes {
		for j := range notes {
			for _, with := range [][]Entry{nil, es, entries("b", 9)} {
				_, err := Accuse(t.Context(), peer, keys, notes[i], notes[j], with)
				refused(t, err, status.InvalidArgument, "tlog.unproven")
			}
		}
	}
	// Nor with the hashes of honest proofs and a prefix of one's own.
	for old := int64(1); old <= 9; old++ {
		p := w.consistency(old, 9)
		for _, prefix := range []Hash{{}, hs[old].Root, hs[9].Root, sum("x")} {
			_, _, err := Equivocation{notes[old], notes[9], prefix, p.Hashes}.Check(peer, keys...)
			refused(t, err, status.InvalidArgument, "tlog.unproven")
		}
	}
}

func TestCheckEquivocationRefuses(t *testing.T) {
	_, good := forked(t)
	empty, _ := newWorld(t, nil).sign()
	_, foreign := heads(t, entries("c", 5))
	stranger := must[[]byte](t)(SignHead(foreign[5], otherKey))
	const signature, unproven = "tlog.signature", "tlog.unproven"
	for name, tt := range map[string]struct {
		edit   func(*Equivocation)
		code   status.Code
		reason string
	}{
		"nothing":          {func(e *Equivocation) { *e = Equivocation{} }, status.Untrusted, signature},
		"old by another":   {func(e *Equivocation) { e.Old = stranger }, status.Untrusted, signature},
		"new by another":   {func(e *Equivocation) { e.New = stranger }, status.Untrusted, signature},
		"one head twice":   {func(e *Equivocation) { e.Old = e.New }, status.InvalidArgument, unproven},
		"heads swapped":    {func(e *Equivocation) { e.Old, e.New = e.New, e.Old }, status.InvalidArgument, unproven},
		"an empty log":     {func(e *Equivocation) { e.Old = empty }, status.InvalidArgument, unproven},
		"no hashes":        {func(e *Equivocation) { e.Hashes = nil }, status.InvalidArgument, unproven},
		"another prefix":   {func(e *Equivocation) { e.Prefix[0] ^= 1 }, status.InvalidArgument, unproven},
		"too many hashes":  {func(e *Equivocation) { e.Hashes = make([]Hash, maxHashes+1) }, status.InvalidArgument, unproven},
		"one hash changed": {func(e *Equivocation) { e.Hashes = slices.Clone(e.Hashes); e.Hashes[0][0] ^= 1 }, status.InvalidArgument, unproven},
	} {
		t.Run(name, func(t *testing.T) {
			e := good
			tt.edit(&e)
			_, _, err := e.Check(peer, keys...)
			refused(t, err, tt.code, tt.reason)
		})
	}
	for _, n := range []int{0, maxKeys + 1} {
		_, _, err := good.Check(peer, make([]ed25519.PublicKey, n)...)
		refused(t, err, status.InvalidArgument, "tlog.invalid")
	}
	_, err := Accuse(t.Context(), peer, keys, good.Old, stranger, nil)
	refused(t, err, status.Untrusted, signature)
	_, err = Accuse(t.Context(), peer, keys, stranger, good.Old, nil)
	refused(t, err, status.Untrusted, signature)
	es, _ := forked(t)
	es[7] = Entry{}
	_, err = Accuse(t.Context(), peer, keys, good.Old, good.New, es)
	refused(t, err, status.InvalidArgument, "tlog.invalid")
}

func TestEveryBitOfAnAccusationCounts(t *testing.T) {
	_, good := forked(t)
	b := must[[]byte](t)(good.Export())
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if e, err := ImportEquivocation(b); err == nil {
			if _, _, err := e.Check(peer, keys...); err == nil {
				t.Errorf("bit %d flipped: it still convinces", bit)
			}
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	for n := range b {
		if _, err := ImportEquivocation(b[:n]); status.ReasonOf(err) != "tlog.parse" {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
}

func TestImportEquivocationRefuses(t *testing.T) {
	_, good := forked(t)
	b := must[[]byte](t)(good.Export())
	_, err := ImportEquivocation(append(bytes.Clone(b), 0))
	refused(t, err, status.InvalidArgument, "tlog.parse")
	_, err = ImportEquivocation(make([]byte, MaxEquivocation+1))
	refused(t, err, status.InvalidArgument, "tlog.too_large")
	long := bytes.Clone(b)
	copy(long[len(equivocationTag):], []byte{0xff, 0xff, 0xff, 0xff})
	_, err = ImportEquivocation(long)
	refused(t, err, status.InvalidArgument, "tlog.parse")
	_, err = Equivocation{Old: make([]byte, MaxHead+1), New: make([]byte, MaxHead+1), Hashes: make([]Hash, maxHashes+1)}.Export()
	refused(t, err, status.InvalidArgument, "tlog.invalid")
	if e, ok := err.(*status.Error); !ok || len(e.Faults) != 3 {
		t.Errorf("got %v, want all faults", fmt.Sprint(err))
	}
}

func FuzzEquivocation(f *testing.F) {
	_, good := forked(f)
	f.Add(must[[]byte](f)(good.Export()))
	f.Add(must[[]byte](f)(Equivocation{}.Export()))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ImportEquivocation(b)
		if err != nil {
			return
		}
		if again, err := e.Export(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is accepted and exports as %x (%v)", b, again, err)
		}
		if _, _, err := e.Check(peer, keys...); err == nil && !(bytes.Equal(e.Old, good.Old) && bytes.Equal(e.New, good.New)) {
			t.Fatal("an accusation that was made up convinces")
		}
	})
}

func BenchmarkCheckEquivocation(b *testing.B) {
	_, e := forked(b)
	for b.Loop() {
		if _, _, err := e.Check(peer, keys...); err != nil {
			b.Fatal(err)
		}
	}
}
