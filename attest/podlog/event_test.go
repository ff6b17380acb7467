package podlog

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func TestEveryEventOpens(t *testing.T) {
	rs, os := seal(t, events()...)
	seen := map[Type]bool{}
	for i, want := range events() {
		got, err := Open(rs[i], os[i])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if rs[i].Type != want.Type() {
			t.Errorf("record of type %s, want %s", rs[i].Type, want.Type())
		}
		seen[want.Type()] = true
	}
	for _, k := range kinds {
		if !seen[k.name] {
			t.Errorf("no sample of %s", k.name)
		}
		if k.make().Type() != k.name {
			t.Errorf("%s makes a %s", k.name, k.make().Type())
		}
		if len(k.name) > maxType || len(k.name) < minType {
			t.Errorf("%s is not within the bounds of a type's length", k.name)
		}
	}
}

// An event has many faults, and all are told.
func TestSealTellsAllFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		event Event
		want  []string
	}{
		"empty":         {&AgentStart{}, []string{"at", "version", "binary", "provider", "boot_epoch", "keys"}},
		"control":       {&PodStart{at, "a\x1b[2J", 1, "x"}, []string{"pod_id"}},
		"not ascii":     {&PodStart{at, "a", 1, "ü"}, []string{"instance"}},
		"long":          {&PodStart{at, strings.Repeat("a", maxText+1), 1, "x"}, []string{"pod_id"}},
		"revision":      {&PodStart{at, "a", 0, "x"}, []string{"revision"}},
		"before 1970":   {&Ready{time.UnixMilli(-1)}, []string{"at"}},
		"after 2100":    {&Ready{time.UnixMilli(maxMillis + 1)}, []string{"at"}},
		"nanoseconds":   {&Ready{at.Add(1)}, []string{"at"}},
		"long epoch":    {&AgentStart{at, "v", sum(""), "p", make([]byte, maxEpoch+1), sum("")}, []string{"boot_epoch"}},
		"many paths":    {&Config{at, "n", sum(""), "none", slices.Repeat([]string{"x"}, maxTexts+1)}, []string{"access_paths"}},
		"bad path":      {&Config{at, "n", sum(""), "none", []string{"ssh", "", "\n"}}, []string{"access_paths[1]", "access_paths[2]"}},
		"count":         {&ExecAttempt{at, "p", "i", "c", "b", sum(""), true, 0}, []string{"count"}},
		"no provenance": {&BuildDone{at, "p", "s", sum(""), "c", Digest{}}, []string{"provenance"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Seal(0, tt.event, salt(0))
			refused(t, err, status.InvalidArgument, "podlog.event")
			var e *status.Error
			if !errors.As(err, &e) {
				t.Fatal("no status")
			}
			var got []string
			for _, f := range e.Faults {
				got = append(got, f.Field)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSealRefuses(t *testing.T) {
	_, _, err := Seal(0, nil, salt(0))
	refused(t, err, status.InvalidArgument, "podlog.event")
	_, _, err = Seal(0, &Ready{at}, Salt{})
	refused(t, err, status.Internal, "podlog.salt")
	_, _, err = Seal(MaxRecords, &Ready{at}, salt(0))
	refused(t, err, status.ResourceExhausted, "podlog.full")
}

func TestSealLeavesTheEventAlone(t *testing.T) {
	local := at.In(time.FixedZone("x", 3600))
	e := &Ready{local}
	if _, _, err := Seal(0, e, salt(0)); err != nil {
		t.Fatal(err)
	}
	if e.At != local {
		t.Error("the event was changed")
	}
}

// payload of a known event, and everything that may be wrong with one.
func TestPayloadRefuses(t *testing.T) {
	good := must[[]byte](t)(encodePayload(events()[1]))
	with := func(i int, v byte) []byte {
		b := bytes.Clone(good)
		b[i] = v
		return b
	}
	// version, number, time (8), length of the name (4), name, digest, ...
	for name, tt := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":             {nil, "podlog.payload"},
		"version":           {with(0, 2), "podlog.payload"},
		"another kind":      {with(1, byte(kind(TypeReady))), "podlog.payload"},
		"year 292 million":  {with(2, 0x7f), "podlog.payload"},
		"huge length":       {with(10, 0xff), "podlog.payload"},
		"length too small":  {with(13, 3), "podlog.payload"},
		"length zero":       {with(13, 0), "podlog.payload"},
		"escape":            {with(14, 0x1b), "podlog.payload"},
		"longer":            {append(bytes.Clone(good), 0), "podlog.payload"},
		"over the cap":      {append(bytes.Clone(good), make([]byte, MaxPayload)...), "podlog.too_large"},
		"only the kind":     {good[:2], "podlog.payload"},
		"half of a digest":  {good[:30], "podlog.payload"},
		"a digest of zeros": {slices.Concat(good[:22], make([]byte, 32), good[54:]), "podlog.payload"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := decodePayload(TypeConfig, tt.b)
			refused(t, err, status.InvalidArgument, tt.want)
			if e != nil {
				t.Error("an event came out")
			}
		})
	}
	for n := range good {
		if _, err := decodePayload(TypeConfig, good[:n]); err == nil {
			t.Errorf("%d of %d bytes are accepted", n, len(good))
		}
	}
	_, err := decodePayload("policy", good)
	refused(t, err, status.InvalidArgument, "podlog.payload")
	flag := must[[]byte](t)(encodePayload(events()[8]))
	flag[len(flag)-9] = 2
	_, err = decodePayload(TypeExecAttempt, flag)
	refused(t, err, status.InvalidArgument, "podlog.payload")
}

// The largest event that the caps on fields allow fits into a payload.
func TestLargestEventFits(t *testing.T) {
	long := strings.Repeat("x", maxText)
	_, o, err := Seal(0, &Config{at, long, sum(""), long, slices.Repeat([]string{long}, maxTexts)}, salt(0))
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Payload) > MaxPayload {
		t.Errorf("got %d bytes", len(o.Payload))
	}
}

func TestListDigestsDiffer(t *testing.T) {
	lists := [][]string{nil, {""}, {"", ""}, {"a"}, {"a", "b"}, {"b", "a"}, {"ab"}, {"a", "b", ""}}
	seen := map[Digest]int{}
	for i, l := range lists {
		d := ListDigest(l)
		if j, ok := seen[d]; ok {
			t.Errorf("%q and %q have one digest", lists[j], l)
		}
		seen[d] = i
	}
	if SortedListDigest(lists[5]) != ListDigest(lists[4]) {
		t.Error("a sorted list is not sorted")
	}
	if KeysDigest([]byte("ab"), []byte("c")) == KeysDigest([]byte("a"), []byte("bc")) {
		t.Error("two pairs of keys have one digest")
	}
}

func FuzzPayload(f *testing.F) {
	for _, e := range events() {
		b, err := encodePayload(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(e.Type()), b)
		f.Add(string(e.Type()), b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		e, err := decodePayload(Type(kind), b)
		if err != nil {
			if e != nil {
				t.Fatal("an event and an error")
			}
			return
		}
		again, err := encodePayload(e)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is accepted and encodes as %x (%v)", b, again, err)
		}
	})
}
