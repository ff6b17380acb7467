package tlog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func TestGolden(t *testing.T) {
	r := must[Entry](t)(ReleaseEntry(at, sum("claims"), release()))
	var text bytes.Buffer
	for _, e := range []Entry{ClaimsEntry(at, sum("claims")), r} {
		fmt.Fprintf(&text, "entry %x\nleaf %x\n", must[[]byte](t)(e.Encode()), e.Leaf())
	}
	w := newWorld(t, entries("a", 5))
	w.add(r)
	fmt.Fprintf(&text, "inclusion %x\n", must[[]byte](t)(w.inclusion(5, 6).Encode()))
	fmt.Fprintf(&text, "consistency %x\n", must[[]byte](t)(w.consistency(3, 6).Encode()))
	golden(t, "log.txt", text.Bytes())
	head, _ := w.sign()
	golden(t, "head.txt", head)
	_, e := forked(t)
	golden(t, "equivocation.txt", fmt.Appendf(nil, "%x\n", must[[]byte](t)(e.Export())))
}

// The leaf is what RFC 6962 says of the bytes, and the root of three what it
// says of the leaves.
func TestTreeIsRFC6962(t *testing.T) {
	leaf := func(e Entry) []byte {
		h := sha256.Sum256(append([]byte{0}, must[[]byte](t)(e.Encode())...))
		return h[:]
	}
	node := func(l, r []byte) []byte {
		h := sha256.Sum256(slices.Concat([]byte{1}, l, r))
		return h[:]
	}
	es := entries("a", 3)
	_, h := newWorld(t, es).sign()
	if want := node(node(leaf(es[0]), leaf(es[1])), leaf(es[2])); !bytes.Equal(h.Root[:], want) {
		t.Errorf("got %x, want %x", h.Root, want)
	}
	if l := es[0].Leaf(); !bytes.Equal(l[:], leaf(es[0])) {
		t.Error("another leaf")
	}
}

func TestEntryRoundTrip(t *testing.T) {
	for _, want := range []Entry{ClaimsEntry(at, sum("c")), must[Entry](t)(ReleaseEntry(at, sum("c"), release()))} {
		got := must[Entry](t)(DecodeEntry(must[[]byte](t)(want.Encode())))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEveryBitOfAnEntryCounts(t *testing.T) {
	e := must[Entry](t)(ReleaseEntry(at, sum("claims"), release()))
	b := must[[]byte](t)(e.Encode())
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if got, err := DecodeEntry(b); err == nil && got.Leaf() == e.Leaf() {
			t.Errorf("bit %d flipped: the same leaf", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestDecodeEntryRefuses(t *testing.T) {
	claims := must[[]byte](t)(ClaimsEntry(at, sum("c")).Encode())
	rel := must[[]byte](t)(must[Entry](t)(ReleaseEntry(at, sum("c"), release())).Encode())
	with := func(b []byte, i int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[i:], v)
		return b
	}
	for name, tt := range map[string]struct {
		b      []byte
		reason string
	}{
		"empty":                  {nil, "tlog.parse"},
		"another tag":            {with(claims, 0, 'A'), "tlog.parse"},
		"kind 0":                 {with(claims, entryHead-9, 0), "tlog.parse"},
		"kind 3":                 {with(claims, entryHead-9, 3), "tlog.parse"},
		"a release without one":  {with(claims, entryHead-9, 2), "tlog.parse"},
		"claims with a release":  {with(rel, entryHead-9, 1), "tlog.parse"},
		"far future":             {with(claims, entryHead-8, 1), "tlog.parse"},
		"negative time":          {with(claims, entryHead-8, 0xff), "tlog.parse"},
		"no time":                {with(claims, entryHead-8, make([]byte, 8)...), "tlog.parse"},
		"no claims":              {with(claims, entryHead, make([]byte, 32)...), "tlog.parse"},
		"an empty release":       {with(rel, entryHead+32, make([]byte, 32)...), "tlog.parse"},
		"cut":                    {claims[:len(claims)-1], "tlog.parse"},
		"longer":                 {append(bytes.Clone(claims), 0), "tlog.parse"},
		"over the cap":           {append(bytes.Clone(rel), 0), "tlog.too_large"},
		"half a release":         {rel[:len(rel)-16], "tlog.parse"},
		"the head of an entry":   {claims[:entryHead], "tlog.parse"},
		"the tag of another use": {append([]byte(releaseTag), claims[len(entryTag):]...), "tlog.parse"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := DecodeEntry(tt.b)
			refused(t, err, status.InvalidArgument, tt.reason)
			if e != (Entry{}) {
				t.Error("an entry came out")
			}
		})
	}
}

func TestEncodeTellsAllFaults(t *testing.T) {
	_, err := Entry{Kind: 9, At: at.Add(1)}.Encode()
	refused(t, err, status.InvalidArgument, "tlog.invalid")
	var e *status.Error
	if !errors.As(err, &e) || len(e.Faults) != 3 {
		t.Errorf("got %v", err)
	}
	_, err = ReleaseEntry(at, sum("c"), Release{})
	refused(t, err, status.InvalidArgument, "tlog.invalid")
	if !errors.As(err, &e) || len(e.Faults) != 3 {
		t.Errorf("got %v", err)
	}
	_, err = ReleaseEntry(at, sum("c"), Release{sum("s"), sum("m"), strings.Repeat("x", maxPodID+1)})
	refused(t, err, status.InvalidArgument, "tlog.invalid")
	if _, err := New(new(Memory)).Append(t.Context(), Entry{}); status.ReasonOf(err) != "tlog.invalid" {
		t.Errorf("appending nothing: got %v", err)
	}
}

func TestCheckRelease(t *testing.T) {
	r := release()
	e := must[Entry](t)(ReleaseEntry(at, sum("claims"), r))
	if err := CheckRelease(e, sum("claims"), r); err != nil {
		t.Error(err)
	}
	for name, tt := range map[string]struct {
		e      Entry
		claims [32]byte
		r      Release
	}{
		"another salt":     {e, sum("claims"), Release{sum("x"), r.Manifest, r.PodID}},
		"no salt":          {e, sum("claims"), Release{[32]byte{}, r.Manifest, r.PodID}},
		"another manifest": {e, sum("claims"), Release{r.Salt, sum("x"), r.PodID}},
		"another pod":      {e, sum("claims"), Release{r.Salt, r.Manifest, "x"}},
		"other claims":     {e, sum("x"), r},
		"not a release":    {ClaimsEntry(at, sum("claims")), sum("claims"), r},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, CheckRelease(tt.e, tt.claims, tt.r), status.Untrusted, "tlog.release")
		})
	}
}

// Another tenant who knows the pod and the manifest cannot find them in the log.
func TestReleasesCannotBeGuessed(t *testing.T) {
	a, b := release(), release()
	a.Salt = must[[SaltSize]byte](t)(NewSalt(strings.NewReader(strings.Repeat("a", SaltSize))))
	b.Salt = must[[SaltSize]byte](t)(NewSalt(strings.NewReader(strings.Repeat("b", SaltSize))))
	ea, eb := must[Entry](t)(ReleaseEntry(at, sum("c"), a)), must[Entry](t)(ReleaseEntry(at, sum("c"), b))
	if ea.Release == eb.Release {
		t.Error("equal releases have one commitment")
	}
	wire := must[[]byte](t)(ea.Encode())
	for _, secret := range [][]byte{a.Salt[:], a.Manifest[:], []byte(a.PodID)} {
		if bytes.Contains(wire, secret) {
			t.Errorf("the entry contains %x", secret)
		}
	}
	for _, form := range []string{"%v", "%+v", "%#v"} {
		if text := fmt.Sprintf(form, a); strings.Contains(text, a.PodID) {
			t.Errorf("%s is %s", form, text)
		}
	}
	if s, err := NewSalt(strings.NewReader("short")); err == nil || s != [SaltSize]byte{} {
		t.Error("a salt came out of too little randomness")
	}
}

func TestCheckCodes(t *testing.T) {
	for reason, want := range map[string]string{
		"tlog.not_included": "ATT-140", "tlog.release": "ATT-140", "tlog.rollback": "ATT-141", "tlog.equivocation": "ATT-141",
		"tlog.inconsistent": "ATT-141", "tlog.stale": "ATT-024", "tlog.boot": "ATT-024", "tlog.signature": "ATT-040",
		"tlog.too_large": "ATT-010", "tlog.parse": "ATT-011", "tlog.damaged": "", "": "",
	} {
		if got := CheckCode(status.New(status.Untrusted, reason, "x")); got != want {
			t.Errorf("%s: got %q, want %q", reason, got, want)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add(must[[]byte](f)(ClaimsEntry(at, sum("c")).Encode()))
	f.Add(must[[]byte](f)(must[Entry](f)(ReleaseEntry(at, sum("c"), release())).Encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil {
			return
		}
		if again, err := e.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is accepted and encodes as %x (%v)", b, again, err)
		}
		if e.At.After(time.UnixMilli(maxMillis)) {
			t.Fatal(e.At)
		}
	})
}
