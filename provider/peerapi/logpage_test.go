package peerapi

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"apocryph/attest/podlog"
	"apocryph/proto/attestpb"
	"apocryph/provider"
)

// A log of any length comes in parts that follow each other, each within a
// frame, with the openings of its own records.
func TestPages(t *testing.T) {
	shown := func(from uint64, records int, payload int, opened func(int) bool) *provider.LogShown {
		s := &provider.LogShown{From: from}
		for i := range records {
			r := podlog.Record{Seq: from + uint64(i), Type: podlog.TypeExecAttempt, Commitment: [32]byte{byte(i)}}
			s.Records = append(s.Records, r)
			if opened(i) {
				s.Openings = append(s.Openings, provider.LogOpening{Record: r, Opening: podlog.Opening{Payload: make([]byte, payload)}})
			}
		}
		return s
	}
	none, all := func(int) bool { return false }, func(int) bool { return true }
	for name, tt := range map[string]struct {
		shown *provider.LogShown
		parts int
	}{
		"empty":          {shown(0, 0, 0, none), 0},
		"one":            {shown(0, 1, 100, all), 1},
		"a page":         {shown(0, pageRecords, 0, none), 1},
		"a page and one": {shown(0, pageRecords+1, 0, none), 2},
		"from 7":         {shown(7, 10, 10, func(i int) bool { return i%3 == 0 }), 1},
		"large openings": {shown(3, 200, podlog.MaxPayload, all), 7},
	} {
		t.Run(name, func(t *testing.T) {
			var parts int
			var records []podlog.Record
			var openings []uint64
			err := pages(tt.shown, func(p *attestpb.LogPage) error {
				parts++
				if size := proto.Size(p); size > 1<<20-1<<10 {
					t.Errorf("a part has %d bytes", size)
				}
				if p.GetFrom() != tt.shown.From+uint64(len(records)) {
					t.Errorf("a part is from %d", p.GetFrom())
				}
				list, err := podlog.DecodeList(p.GetRecords())
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range p.GetOpenings() {
					if o.GetSeq() < list[0].Seq || o.GetSeq() > list[len(list)-1].Seq {
						t.Errorf("opening %d is in a part from %d", o.GetSeq(), list[0].Seq)
					}
					if _, err := podlog.DecodeOpening(o.GetOpening()); err != nil {
						t.Error(err)
					}
					openings = append(openings, o.GetSeq())
				}
				records = append(records, list...)
				return nil
			})
			if err != nil || parts != tt.parts || !slices.Equal(records, tt.shown.Records) || len(openings) != len(tt.shown.Openings) || !slices.IsSorted(openings) {
				t.Errorf("got %d parts with %d records and %d openings, %v", parts, len(records), len(openings), err)
			}
		})
	}
}

// golden is a part of a log as it is on the wire.
func TestPageOnTheWire(t *testing.T) {
	r := podlog.Record{Seq: 2, Type: podlog.TypeReady, Commitment: [32]byte{1}}
	var got []byte
	err := pages(&provider.LogShown{From: 2, Records: []podlog.Record{r}, Openings: []provider.LogOpening{{Record: r, Opening: podlog.Opening{Payload: []byte{9}}}}}, func(p *attestpb.LogPage) (err error) {
		got, err = proto.MarshalOptions{Deterministic: true}.Marshal(p)
		return err
	})
	list := slices.Concat([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 5}, []byte("ready"), []byte{1}, make([]byte, 31))
	opening := slices.Concat(make([]byte, 32), []byte{0, 0, 0, 1, 9})
	want := slices.Concat([]byte{0x08, 2, 0x12, byte(len(list))}, list, []byte{0x1a, byte(4 + len(opening)), 0x08, 2, 0x12, byte(len(opening))}, opening)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x, %v", got, want, err)
	}
}
