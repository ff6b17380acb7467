package attest

import (
	"maps"
	"slices"

	"apocryph/proto/status"
)

const (
	// MaxEndpointLog bounds the records in an [EndpointLog], in bytes: about nine
	// thousand events. Whoever asks makes the provider send them, and reads them all.
	MaxEndpointLog = 512 << 10
	// maxOpening bounds one opening, in bytes. Those of builds have a few hundred.
	maxOpening = 4 << 10
)

// EndpointLog is the measured log of this boot (package podlog), shown for the
// builds that are in it.
type EndpointLog struct {
	// Records is the list of all records, as package podlog encodes it.
	Records []byte
	// Openings are of the builds that the document has statements of, by the sequence
	// number of their records. No other event is opened.
	Openings map[uint64][]byte
}

type endpointLogJSON struct {
	Records  []byte        `json:"records"`
	Openings []openingJSON `json:"openings"`
}

type openingJSON struct {
	Seq     uint64 `json:"seq"`
	Opening []byte `json:"opening"`
}

func (l *EndpointLog) wire() *endpointLogJSON {
	if l == nil {
		return nil
	}
	out := &endpointLogJSON{Records: l.Records, Openings: []openingJSON{}}
	for _, seq := range slices.Sorted(maps.Keys(l.Openings)) {
		out.Openings = append(out.Openings, openingJSON{seq, l.Openings[seq]})
	}
	return out
}

func (l *endpointLogJSON) log() (*EndpointLog, error) {
	if l == nil {
		return nil, nil
	}
	if n := len(l.Records); n > MaxEndpointLog {
		return nil, tooLarge("the log", n, MaxEndpointLog)
	}
	if n := len(l.Openings); n > maxBuilds {
		return nil, tooLarge("the list of openings", n, maxBuilds)
	}
	out := &EndpointLog{Records: l.Records, Openings: map[uint64][]byte{}}
	for _, o := range l.Openings {
		if n := len(o.Opening); n > maxOpening {
			return nil, tooLarge("an opening", n, maxOpening)
		}
		if _, twice := out.Openings[o.Seq]; twice {
			return nil, status.New(status.InvalidArgument, reasonEndpoint, "record %d is opened twice", o.Seq)
		}
		out.Openings[o.Seq] = o.Opening
	}
	return out, nil
}
