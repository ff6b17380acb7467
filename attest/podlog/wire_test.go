package podlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func TestGolden(t *testing.T) {
	rs, os := seal(t, events()...)
	var text bytes.Buffer
	h := Head{}
	for i, r := range rs {
		h = must[Head](t)(h.Extend(r))
		fmt.Fprintf(&text, "# %d %s\nrecord %x\nopening %x\nsha256 %x\nsha384 %x\n", r.Seq, r.Type,
			must[[]byte](t)(r.Encode()), must[[]byte](t)(os[i].Encode()), h.SHA256, h.SHA384)
	}
	fmt.Fprintf(&text, "list %x\n", must[[]byte](t)(EncodeList(rs)))
	golden(t, "log.txt", text.Bytes())
	golden(t, "journal.txt", []byte(hex.EncodeToString(journalOf(t, nil, rs, true))+"\n"))
}

func TestListRoundTrip(t *testing.T) {
	for _, want := range [][]Record{{}, sample(t)[:1], sample(t)} {
		got := must[[]Record](t)(DecodeList(must[[]byte](t)(EncodeList(want))))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	full := slices.Repeat([]Record{{1, TypeExecAttempt, [32]byte{1}}}, MaxPage)
	b := must[[]byte](t)(EncodeList(full))
	if len(b) != MaxList || len(b) > 1<<20 {
		t.Errorf("a full page has %d bytes", len(b))
	}
	if got := must[[]Record](t)(DecodeList(b)); len(got) != MaxPage {
		t.Errorf("got %d records", len(got))
	}
}

func TestDecodeRecordRefuses(t *testing.T) {
	good := must[[]byte](t)(sample(t)[0].Encode())
	with := func(i int, v byte) []byte {
		b := bytes.Clone(good)
		b[i] = v
		return b
	}
	for name, tt := range map[string]struct {
		b      []byte
		reason string
	}{
		"empty":          {nil, "podlog.record"},
		"cut":            {good[:len(good)-1], "podlog.record"},
		"longer":         {append(bytes.Clone(good), 0), "podlog.record"},
		"over the cap":   {make([]byte, MaxRecord+1), "podlog.too_large"},
		"sequence":       {with(0, 1), "podlog.record"},
		"huge type":      {with(8, 0xff), "podlog.record"},
		"no type":        {with(11, 0), "podlog.record"},
		"shorter type":   {with(11, 10), "podlog.record"},
		"longer type":    {with(11, 12), "podlog.record"},
		"unknown type":   {with(12, 'A'), "podlog.record"},
		"all zeros":      {make([]byte, len(good)), "podlog.record"},
		"type to escape": {with(12, 0x1b), "podlog.record"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := DecodeRecord(tt.b)
			refused(t, err, status.InvalidArgument, tt.reason)
			if r != (Record{}) {
				t.Error("a record came out")
			}
		})
	}
}

func TestDecodeListRefuses(t *testing.T) {
	good := must[[]byte](t)(EncodeList(sample(t)[:3]))
	count := func(n uint32) []byte { return append(binary.BigEndian.AppendUint32(nil, n), good[4:]...) }
	for name, tt := range map[string]struct {
		b      []byte
		reason string
	}{
		"empty":          {nil, "podlog.record"},
		"half a count":   {good[:3], "podlog.record"},
		"fewer counted":  {count(2), "podlog.record"},
		"more counted":   {count(4), "podlog.record"},
		"page and one":   {count(MaxPage + 1), "podlog.too_large"},
		"huge count":     {count(1 << 31), "podlog.too_large"},
		"full count":     {count(MaxPage), "podlog.record"},
		"cut":            {good[:len(good)-1], "podlog.record"},
		"longer":         {append(bytes.Clone(good), 0), "podlog.record"},
		"over the bytes": {make([]byte, MaxList+1), "podlog.too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			rs, err := DecodeList(tt.b)
			refused(t, err, status.InvalidArgument, tt.reason)
			if rs != nil {
				t.Error("records came out")
			}
		})
	}
	_, err := EncodeList(make([]Record, MaxPage+1))
	refused(t, err, status.InvalidArgument, "podlog.too_large")
	_, err = EncodeList([]Record{{0, "policy", [32]byte{}}})
	refused(t, err, status.InvalidArgument, "podlog.record")
	_, err = Record{Seq: MaxRecords, Type: TypeReady}.Encode()
	refused(t, err, status.InvalidArgument, "podlog.record")
}

func TestDecodeOpeningRefuses(t *testing.T) {
	good := must[[]byte](t)(Opening{salt(1), []byte("payload")}.Encode())
	for name, tt := range map[string]struct {
		b      []byte
		reason string
	}{
		"empty":       {nil, "podlog.record"},
		"salt alone":  {good[:SaltSize], "podlog.record"},
		"cut":         {good[:len(good)-1], "podlog.record"},
		"longer":      {append(bytes.Clone(good), 0), "podlog.record"},
		"over length": {make([]byte, MaxOpening+1), "podlog.too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := DecodeOpening(tt.b)
			refused(t, err, status.InvalidArgument, tt.reason)
			if o.Payload != nil {
				t.Error("an opening came out")
			}
		})
	}
	_, err := Opening{Payload: make([]byte, MaxPayload+1)}.Encode()
	refused(t, err, status.InvalidArgument, "podlog.too_large")
}

func FuzzRecord(f *testing.F) {
	for _, r := range sample(f) {
		f.Add(must[[]byte](f)(r.Encode()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			return
		}
		if again, err := r.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is accepted and encodes as %x (%v)", b, again, err)
		}
	})
}

// FuzzList feeds lists on to the checks, which must not break on any of them.
func FuzzList(f *testing.F) {
	f.Add(must[[]byte](f)(EncodeList(sample(f))))
	f.Add(must[[]byte](f)(EncodeList(nil)))
	f.Add([]byte{0, 0, 0x40, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		rs, err := DecodeList(b)
		if err != nil {
			return
		}
		if again, err := EncodeList(rs); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is accepted and encodes as %x (%v)", b, again, err)
		}
		if _, err := CheckReplay(rs, Head{}, SHA384, make([]byte, 48)); err == nil && len(rs) > 0 {
			t.Fatal("zeros are accepted as a register")
		}
		if CheckBoundary(rs, Rules{}) == nil && (rs[0].Type != TypeAgentStart || rs[0].Seq != 0) {
			t.Fatal("a log without a beginning is accepted")
		}
	})
}

func FuzzOpening(f *testing.F) {
	_, os := seal(f, events()...)
	for _, o := range os {
		f.Add(must[[]byte](f)(o.Encode()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := DecodeOpening(b)
		if err != nil {
			return
		}
		if again, err := o.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is accepted and encodes as %x (%v)", b, again, err)
		}
	})
}
