package peerclient

import (
	"fmt"

	"apocryph/attest/podlog"
	"apocryph/proto/attestpb"
	"apocryph/proto/status"
)

// addPage adds a part of the log, which has to follow what came before. Records
// and openings are in form then; whether they are true is the caller's to check.
func addPage(log *podlog.Shown, page *attestpb.LogPage) error {
	next := uint64(len(log.Records))
	if page.GetFrom() != next {
		return badPage("a part of the log from %d, not from %d", page.GetFrom(), next)
	}
	records, err := podlog.DecodeList(page.GetRecords())
	if err != nil {
		return err
	}
	// Parts without a record would never end.
	if len(records) == 0 || next+uint64(len(records)) > podlog.MaxRecords {
		return badPage("%d records after %d", len(records), next)
	}
	if log.Openings == nil {
		log.Openings = map[uint64]podlog.Opening{}
	}
	log.Records = append(log.Records, records...)
	// No more than one for each record, of which there is a cap.
	for _, o := range page.GetOpenings() {
		seq := o.GetSeq()
		if _, twice := log.Openings[seq]; twice || seq < next || seq >= uint64(len(log.Records)) {
			return badPage("an opening of record %d where it does not belong", seq)
		}
		if log.Openings[seq], err = podlog.DecodeOpening(o.GetOpening()); err != nil {
			return err
		}
	}
	return nil
}

func badPage(format string, args ...any) error {
	return status.New(status.InvalidArgument, "peer.log", "the provider sent %s", fmt.Sprintf(format, args...)).
		WithHint("it may run another version")
}
