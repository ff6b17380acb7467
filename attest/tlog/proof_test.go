package tlog

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

// heads are those of every size of a log.
func heads(t testing.TB, es []Entry) (*world, []Head) {
	w := newWorld(t, nil)
	_, h := w.sign()
	hs := []Head{h}
	for _, e := range es {
		w.add(e)
		_, h = w.sign()
		hs = append(hs, h)
	}
	return w, hs
}

// Every proof of every small log holds, in the form of the wire, and for
// nothing else.
func TestEveryProof(t *testing.T) {
	es := entries("a", 17)
	w, hs := heads(t, es)
	for size := range int64(len(hs)) {
		for index := range size {
			b := must[[]byte](t)(w.inclusion(index, size).Encode())
			p := must[Inclusion](t)(DecodeInclusion(b))
			for i, e := range es {
				err := CheckInclusion(hs[size], e, p)
				if int64(i) == index {
					if err != nil {
						t.Fatalf("entry %d of %d: %v", index, size, err)
					}
					continue
				}
				refused(t, err, status.Untrusted, "tlog.not_included")
			}
			moved := p
			moved.Index = (p.Index + 1) % size
			if size > 1 {
				refused(t, CheckInclusion(hs[size], es[index], moved), status.Untrusted, "tlog.not_included")
			}
		}
		for old := range size + 1 {
			b := must[[]byte](t)(w.consistency(old, size).Encode())
			p := must[Consistency](t)(DecodeConsistency(b))
			if err := CheckConsistency(hs[old], hs[size], p); err != nil {
				t.Fatalf("%d in %d: %v", old, size, err)
			}
			for i := range p.Hashes {
				bad := p
				bad.Hashes = slices.Clone(p.Hashes)
				bad.Hashes[i][0] ^= 1
				refused(t, CheckConsistency(hs[old], hs[size], bad), status.Untrusted, "tlog.inconsistent")
			}
			if old == size {
				continue
			}
			longer := p
			longer.Hashes = append(slices.Clone(p.Hashes), Hash{})
			refused(t, CheckConsistency(hs[old], hs[size], longer), status.Untrusted, "tlog.inconsistent")
		}
	}
}

func TestCheckInclusionRefuses(t *testing.T) {
	es := entries("a", 6)
	w, hs := heads(t, es)
	p := w.inclusion(2, 6)
	with := func(f func(*Inclusion)) Inclusion {
		c := p
		c.Hashes = slices.Clone(p.Hashes)
		f(&c)
		return c
	}
	huge := hs[6]
	huge.Size = math.MaxInt64
	for name, tt := range map[string]struct {
		h Head
		p Inclusion
	}{
		"no proof":       {hs[6], Inclusion{}},
		"another tree":   {hs[5], p},
		"other size":     {hs[6], with(func(p *Inclusion) { p.Size = 5 })},
		"negative index": {hs[6], with(func(p *Inclusion) { p.Index = -1 })},
		"index too high": {hs[6], with(func(p *Inclusion) { p.Index = 6 })},
		"no hashes":      {hs[6], with(func(p *Inclusion) { p.Hashes = nil })},
		"hash missing":   {hs[6], with(func(p *Inclusion) { p.Hashes = p.Hashes[1:] })},
		"hash too many":  {hs[6], with(func(p *Inclusion) { p.Hashes = append(p.Hashes, Hash{}) })},
		"hashes swapped": {hs[6], with(func(p *Inclusion) { slices.Reverse(p.Hashes) })},
		// Arithmetic that does not end for such sizes.
		"endless tree": {huge, with(func(p *Inclusion) { p.Size = math.MaxInt64 })},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, CheckInclusion(tt.h, es[2], tt.p), status.Untrusted, "tlog.not_included")
		})
	}
	refused(t, CheckInclusion(hs[6], Entry{}, p), status.InvalidArgument, "tlog.invalid")
}

func TestCheckConsistencyRefuses(t *testing.T) {
	w, hs := heads(t, entries("a", 9))
	other := hs[9]
	other.Peer = "12D3KooWOther"
	huge := hs[9]
	huge.Size = math.MaxInt64
	root := hs[0]
	root.Root = sum("root")
	for name, tt := range map[string]struct {
		old, now Head
		p        Consistency
		reason   string
	}{
		"another log":              {hs[4], other, w.consistency(4, 9), "tlog.inconsistent"},
		"smaller":                  {hs[9], hs[4], w.consistency(4, 9), "tlog.rollback"},
		"to nothing":               {hs[1], hs[0], Consistency{}, "tlog.rollback"},
		"no proof":                 {hs[4], hs[9], Consistency{}, "tlog.inconsistent"},
		"no hashes":                {hs[4], hs[9], Consistency{4, 9, nil}, "tlog.inconsistent"},
		"proof of another":         {hs[4], hs[9], w.consistency(5, 9), "tlog.inconsistent"},
		"proof of the next":        {hs[4], hs[9], w.consistency(4, 8), "tlog.inconsistent"},
		"hashes from nothing":      {hs[0], hs[9], Consistency{0, 9, []Hash{{}}}, "tlog.inconsistent"},
		"nothing with a root":      {root, hs[9], Consistency{0, 9, nil}, "tlog.inconsistent"},
		"endless tree":             {hs[4], huge, Consistency{4, math.MaxInt64, make([]Hash, 5)}, "tlog.inconsistent"},
		"hashes for one same tree": {hs[4], hs[4], Consistency{4, 4, []Hash{{}}}, "tlog.inconsistent"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, CheckConsistency(tt.old, tt.now, tt.p), status.Untrusted, tt.reason)
		})
	}
}

func TestDecodeProofRefuses(t *testing.T) {
	w, _ := heads(t, entries("a", 6))
	in := must[[]byte](t)(w.inclusion(2, 6).Encode())
	con := must[[]byte](t)(w.consistency(2, 6).Encode())
	with := func(b []byte, i int, v byte) []byte {
		b = bytes.Clone(b)
		b[i] = v
		return b
	}
	full := append(with(make([]byte, proofHead), 0, 'i'), make([]byte, 42*32)...)
	for name, tt := range map[string]struct {
		b      []byte
		reason string
	}{
		"empty":           {nil, "tlog.parse"},
		"the other kind":  {con, "tlog.parse"},
		"cut":             {in[:len(in)-1], "tlog.parse"},
		"longer":          {append(bytes.Clone(in), 0), "tlog.parse"},
		"fewer hashes":    {with(in, proofHead-1, 2), "tlog.parse"},
		"more hashes":     {with(in, proofHead-1, 200), "tlog.parse"},
		"negative index":  {with(in, 1, 0xff), "tlog.parse"},
		"negative size":   {with(in, 9, 0xff), "tlog.parse"},
		"huge size":       {with(in, 9, 0x7f), "tlog.parse"},
		"index over size": {with(in, 8, 6), "tlog.parse"},
		"too many hashes": {with(full, proofHead-1, 42), "tlog.too_large"},
		"head of a proof": {in[:proofHead-1], "tlog.parse"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := DecodeInclusion(tt.b)
			refused(t, err, status.InvalidArgument, tt.reason)
			if diff := cmp.Diff(Inclusion{}, p); diff != "" {
				t.Error(diff)
			}
		})
	}
	_, err := DecodeConsistency(in)
	refused(t, err, status.InvalidArgument, "tlog.parse")
	_, err = Consistency{3, 2, nil}.Encode()
	refused(t, err, status.InvalidArgument, "tlog.parse")
	_, err = Inclusion{0, MaxSize + 1, nil}.Encode()
	refused(t, err, status.InvalidArgument, "tlog.parse")
	_, err = Inclusion{0, 1, make([]Hash, maxHashes+1)}.Encode()
	refused(t, err, status.InvalidArgument, "tlog.parse")
}

// FuzzProof decodes proofs and runs them: no proof that was made up holds.
func FuzzProof(f *testing.F) {
	es := entries("a", 9)
	w, hs := heads(f, es)
	f.Add(must[[]byte](f)(w.inclusion(3, 9).Encode()))
	f.Add(must[[]byte](f)(w.consistency(5, 9).Encode()))
	f.Add(must[[]byte](f)(w.consistency(0, 9).Encode()))
	foreign := entry("b", 0)
	_, fork := newWorld(f, entries("b", 5)).sign()
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := DecodeInclusion(b); err == nil {
			if again, err := p.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%x is accepted and encodes as %x (%v)", b, again, err)
			}
			if CheckInclusion(hs[9], foreign, p) == nil {
				t.Fatal("an entry that is not there is proven")
			}
		}
		if p, err := DecodeConsistency(b); err == nil {
			if again, err := p.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%x is accepted and encodes as %x (%v)", b, again, err)
			}
			if CheckConsistency(fork, hs[9], p) == nil {
				t.Fatal("a fork is consistent")
			}
		}
	})
}

func BenchmarkCheckInclusion(b *testing.B) {
	w, _ := heads(b, entries("a", 1000))
	_, h := w.sign()
	p, e := w.inclusion(500, 1000), entry("a", 500)
	for b.Loop() {
		if err := CheckInclusion(h, e, p); err != nil {
			b.Fatal(err)
		}
	}
}
