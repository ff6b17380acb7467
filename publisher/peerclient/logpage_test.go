package peerclient

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"apocryph/attest/podlog"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

// part is a page of n records from a number on, with openings of some.
func part(t testing.TB, from uint64, n int, opened ...uint64) *attestpb.LogPage {
	t.Helper()
	var records []podlog.Record
	for i := range n {
		records = append(records, podlog.Record{Seq: from + uint64(i), Type: podlog.TypeReady})
	}
	list, err := podlog.EncodeList(records)
	if err != nil {
		t.Fatal(err)
	}
	p := &attestpb.LogPage{From: from, Records: list}
	for _, seq := range opened {
		p.Openings = append(p.Openings, &attestpb.LogOpening{Seq: seq, Opening: make([]byte, podlog.SaltSize+4)})
	}
	return p
}

func TestAddPage(t *testing.T) {
	var log podlog.Shown
	for _, p := range []*attestpb.LogPage{part(t, 0, 3, 0, 2), part(t, 3, 1), part(t, 4, 2, 5)} {
		if err := addPage(&log, p); err != nil {
			t.Fatal(err)
		}
	}
	if len(log.Records) != 6 || len(log.Openings) != 3 {
		t.Errorf("got %d records and %d openings", len(log.Records), len(log.Openings))
	}
}

func TestAddPageRefuses(t *testing.T) {
	cut := part(t, 3, 1)
	cut.Records = cut.Records[:len(cut.Records)-1]
	short := part(t, 3, 1, 3)
	short.Openings[0].Opening = short.Openings[0].Opening[1:]
	for name, tt := range map[string]struct {
		page   *attestpb.LogPage
		reason string
	}{
		"again":              {part(t, 0, 3), "peer.log"},
		"a gap":              {part(t, 4, 1), "peer.log"},
		"no records":         {part(t, 3, 0), "peer.log"},
		"nothing":            {&attestpb.LogPage{From: 3}, "podlog.record"},
		"cut":                {cut, "podlog.record"},
		"opening before it":  {part(t, 3, 1, 1), "peer.log"},
		"opening after it":   {part(t, 3, 1, 4), "peer.log"},
		"opening twice":      {part(t, 3, 1, 3, 3), "peer.log"},
		"no opening":         {short, "podlog.record"},
		"page and one":       {&attestpb.LogPage{From: 3, Records: append([]byte{0, 0, 0x40, 1}, make([]byte, 100)...)}, "podlog.too_large"},
		"more than the list": {&attestpb.LogPage{From: 3, Records: bytes.Repeat([]byte{0xff}, podlog.MaxList+1)}, "podlog.too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			var log podlog.Shown
			if err := addPage(&log, part(t, 0, 3)); err != nil {
				t.Fatal(err)
			}
			err := addPage(&log, tt.page)
			if status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != tt.reason {
				t.Errorf("got %v (%s), want %s", err, status.ReasonOf(err), tt.reason)
			}
		})
	}
}

// A log has an end, whatever is sent.
func TestLogsEnd(t *testing.T) {
	log := podlog.Shown{Records: make([]podlog.Record, podlog.MaxRecords-1)}
	if err := addPage(&log, part(t, podlog.MaxRecords-1, 1)); err != nil {
		t.Fatal(err)
	}
	if err := addPage(&log, part(t, 0, 1)); err == nil || len(log.Records) != podlog.MaxRecords {
		t.Errorf("got %d records, %v", len(log.Records), err)
	}
}

// FuzzPage reads what a provider shows of its log.
func FuzzPage(f *testing.F) {
	for _, p := range []*attestpb.LogPage{part(f, 0, 0), part(f, 0, 3, 0, 2), part(f, 1, 1, 1), {From: ^uint64(0)}} {
		b, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p attestpb.LogPage
		if proto.Unmarshal(b, &p) != nil {
			return
		}
		var log podlog.Shown
		if addPage(&log, &p) == nil && (len(log.Records) == 0 || len(log.Openings) > len(log.Records)) {
			t.Errorf("took %d records and %d openings", len(log.Records), len(log.Openings))
		}
	})
}
