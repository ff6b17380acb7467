package podlog

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"
	"testing"

	"apocryph/proto/status"
)

// pcr is a register of a TPM as the specification writes it (TPM 2.0 Part 1,
// 17.2): new := H(old || digest), and the digest as the package comment writes it.
func pcr(records []Record, old []byte, h func([]byte) []byte) []byte {
	for _, r := range records {
		pre := fmt.Sprintf("apocryph/podlog/0.0.1\x00%s%s%s%s%s", []byte{0, 0, 0, 0, 0, 0, byte(r.Seq >> 8), byte(r.Seq)},
			[]byte{0, 0, 0, byte(len(r.Type))}, r.Type, r.Commitment[:], "")
		old = h(append(bytes.Clone(old), h([]byte(pre))...))
	}
	return old
}

func h256(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
func h384(b []byte) []byte { s := sha512.Sum384(b); return s[:] }

func TestReplayIsARegister(t *testing.T) {
	rs := sample(t)
	shim256, shim384 := h256([]byte("shim")), h384([]byte("shim"))
	for name, tt := range map[string]struct {
		init       Head
		small, big []byte
	}{
		"zeros": {Head{}, make([]byte, 32), make([]byte, 48)},
		"shim":  {must[Head](t)(Begin(shim256, shim384)), shim256, shim384},
		"one":   {must[Head](t)(Begin(nil, shim384)), make([]byte, 32), shim384},
	} {
		t.Run(name, func(t *testing.T) {
			h := must[Head](t)(Replay(rs, tt.init))
			if want := pcr(rs, tt.small, h256); !bytes.Equal(h.SHA256[:], want) {
				t.Errorf("sha256: got %x, want %x", h.SHA256, want)
			}
			if want := pcr(rs, tt.big, h384); !bytes.Equal(h.SHA384[:], want) {
				t.Errorf("sha384: got %x, want %x", h.SHA384, want)
			}
			if h.Length != uint64(len(rs)) {
				t.Errorf("length %d", h.Length)
			}
		})
	}
}

func TestReplayInPages(t *testing.T) {
	rs := sample(t)
	whole := must[Head](t)(Replay(rs, Head{}))
	for cut := range rs {
		h := must[Head](t)(Replay(rs[:cut], Head{}))
		got := must[Head](t)(CheckReplay(rs[cut:], h, SHA256, whole.SHA256[:]))
		if got != whole {
			t.Errorf("cut at %d: got another head", cut)
		}
	}
}

func TestCheckReplayRefuses(t *testing.T) {
	rs := sample(t)
	init := must[Head](t)(Begin(h256([]byte("shim")), h384([]byte("shim"))))
	h := must[Head](t)(Replay(rs, init))
	edit := func(f func([]Record) []Record) []Record { return f(slices.Clone(rs)) }
	renumber := func(r []Record) []Record {
		for i := range r {
			r[i].Seq = uint64(i)
		}
		return r
	}
	other := must[Head](t)(Replay(rs, Head{}))
	for name, tt := range map[string]struct {
		records []Record
		init    Head
		bank    Bank
		want    []byte
		code    status.Code
		reason  string
	}{
		"reordered":          {edit(func(r []Record) []Record { r[4], r[5] = r[5], r[4]; return r }), init, SHA256, h.SHA256[:], status.Untrusted, "podlog.gap"},
		"reordered, renamed": {edit(func(r []Record) []Record { r[4], r[5] = r[5], r[4]; return renumber(r) }), init, SHA256, h.SHA256[:], status.Untrusted, "podlog.replay"},
		"dropped":            {edit(func(r []Record) []Record { return slices.Delete(r, 6, 7) }), init, SHA256, h.SHA256[:], status.Untrusted, "podlog.gap"},
		"dropped, renamed":   {edit(func(r []Record) []Record { return renumber(slices.Delete(r, 6, 7)) }), init, SHA384, h.SHA384[:], status.Untrusted, "podlog.replay"},
		"first dropped":      {rs[1:], init, SHA256, h.SHA256[:], status.Untrusted, "podlog.gap"},
		"last dropped":       {rs[:len(rs)-1], init, SHA256, h.SHA256[:], status.Untrusted, "podlog.replay"},
		"duplicated":         {edit(func(r []Record) []Record { return slices.Insert(r, 5, r[4]) }), init, SHA256, h.SHA256[:], status.Untrusted, "podlog.duplicate"},
		"duplicated, renamed": {
			edit(func(r []Record) []Record { return renumber(slices.Insert(r, 5, r[4])) }),
			init, SHA256, h.SHA256[:], status.Untrusted, "podlog.replay",
		},
		"appended": {
			append(slices.Clone(rs), Record{Seq: uint64(len(rs)), Type: TypePodStart}), init, SHA256, h.SHA256[:],
			status.Untrusted, "podlog.replay",
		},
		"no records":      {nil, init, SHA256, h.SHA256[:], status.Untrusted, "podlog.replay"},
		"another type":    {edit(func(r []Record) []Record { r[8].Type = TypePodStop; return r }), init, SHA256, h.SHA256[:], status.Untrusted, "podlog.replay"},
		"unknown type":    {edit(func(r []Record) []Record { r[8].Type = "policy"; return r }), init, SHA256, h.SHA256[:], status.InvalidArgument, "podlog.record"},
		"no value":        {rs, init, SHA256, nil, status.Untrusted, "podlog.replay"},
		"the other bank":  {rs, init, SHA256, h.SHA384[:], status.Untrusted, "podlog.replay"},
		"cut value":       {rs, init, SHA384, h.SHA384[:32], status.Untrusted, "podlog.replay"},
		"no bank":         {rs, init, "", h.SHA256[:], status.InvalidArgument, "podlog.bank"},
		"sha1":            {rs, init, "sha1", h.SHA256[:20], status.InvalidArgument, "podlog.bank"},
		"from zeros":      {rs, init, SHA256, other.SHA256[:], status.Untrusted, "podlog.init"},
		"from zeros, 384": {rs, init, SHA384, other.SHA384[:], status.Untrusted, "podlog.init"},
		"not from zeros":  {rs, Head{}, SHA256, h.SHA256[:], status.Untrusted, "podlog.replay"},
		"a second time":   {rs, h, SHA256, h.SHA256[:], status.Untrusted, "podlog.duplicate"},
		"a log that is full": {
			[]Record{{Seq: MaxRecords, Type: TypePodStop}},
			Head{Length: MaxRecords},
			SHA256, h.SHA256[:],
			status.ResourceExhausted, "podlog.full",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := CheckReplay(tt.records, tt.init, tt.bank, tt.want)
			refused(t, err, tt.code, tt.reason)
			if got != (Head{}) {
				t.Error("a head came out")
			}
		})
	}
	if got, err := CheckReplay(rs, init, SHA384, h.SHA384[:]); err != nil || got != h {
		t.Errorf("the honest log: %v", err)
	}
}

func TestBeginRefuses(t *testing.T) {
	_, err := Begin(make([]byte, 48), make([]byte, 32))
	refused(t, err, status.InvalidArgument, "podlog.bank")
	if e, ok := err.(*status.Error); !ok || len(e.Faults) != 2 {
		t.Errorf("got %v, want both faults", err)
	}
	_, err = Begin([]byte{}, nil)
	refused(t, err, status.InvalidArgument, "podlog.bank")
}

func TestCheckCodes(t *testing.T) {
	for reason, want := range map[string]string{
		"podlog.replay": "ATT-100", "podlog.gap": "ATT-100", "podlog.opening": "ATT-100", "podlog.init": "ATT-101", "podlog.boundary": "ATT-102",
		"podlog.duplicate": "ATT-103", "podlog.missing": "ATT-104", "podlog.too_large": "ATT-010", "podlog.record": "ATT-011",
		"podlog.payload": "ATT-011", "podlog.journal": "", "": "",
	} {
		if got := CheckCode(status.New(status.Untrusted, reason, "x")); got != want {
			t.Errorf("%s: got %q, want %q", reason, got, want)
		}
	}
}
