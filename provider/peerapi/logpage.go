package peerapi

import (
	"apocryph/attest/podlog"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/provider"
)

const (
	// pageRecords and pageBytes bound one part of the log well below a frame: a
	// record has 56 bytes at most, an opening 16 KiB.
	pageRecords = 4096
	pageBytes   = 512 << 10
)

// sendLog sends the log in parts, which come before the result.
func sendLog(s *rpc.ServerStream[*attestpb.AttestResponse], shown *provider.LogShown) error {
	if shown == nil {
		return nil
	}
	return pages(shown, func(p *attestpb.LogPage) error {
		return s.Send(&attestpb.AttestResponse{Body: &attestpb.AttestResponse_Event{
			Event: &attestpb.AttestEvent{Body: &attestpb.AttestEvent_Log{Log: p}},
		}})
	})
}

// pages cuts a log into parts; each has the openings of its own records.
func pages(shown *provider.LogShown, send func(*attestpb.LogPage) error) error {
	records, openings := shown.Records, shown.Openings
	for from := shown.From; len(records) > 0; {
		page := &attestpb.LogPage{From: from}
		n, size := 0, 0
		for n < min(len(records), pageRecords) && size < pageBytes {
			size += podlog.MaxRecord
			if len(openings) > 0 && openings[0].Record.Seq == from+uint64(n) {
				b, err := openings[0].Opening.Encode()
				if err != nil {
					return err
				}
				page.Openings = append(page.Openings, &attestpb.LogOpening{Seq: openings[0].Record.Seq, Opening: b})
				size += len(b)
				openings = openings[1:]
			}
			n++
		}
		var err error
		if page.Records, err = podlog.EncodeList(records[:n]); err != nil {
			return err
		}
		if err := send(page); err != nil {
			return err
		}
		records, from = records[n:], from+uint64(n)
	}
	return nil
}
