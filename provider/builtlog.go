package provider

import (
	"context"
	"fmt"

	"apocryph/attest"
	"apocryph/attest/podlog"
)

// builtInLog shows the log, as evidence was made of it, with the openings of these
// builds: whoever sees a statement may see that it was measured when it was made.
// Nil is a log that has none of them, because they were made in an earlier boot, or
// one that is too long.
func (s *Service) builtInLog(ctx context.Context, builds []PodID, held HeldLog) (*attest.EndpointLog, error) {
	out := &attest.EndpointLog{Openings: map[uint64][]byte{}}
	for _, id := range builds {
		last, err := s.buildOpening(ctx, id, held)
		if err != nil {
			return nil, err
		}
		if last == nil {
			continue
		}
		if out.Openings[last.Record.Seq], err = last.Opening.Encode(); err != nil {
			return nil, err
		}
	}
	if len(out.Openings) == 0 {
		return nil, nil
	}
	var err error
	if out.Records, err = podlog.EncodeList(held.Records); err != nil {
		return nil, err
	}
	if n := len(out.Records); n > attest.MaxEndpointLog {
		s.log.DebugContext(ctx, "the log is too long to be shown to users of apps", "bytes", n)
		return nil, nil
	}
	return out, nil
}

// buildOpening opens the end of a build, as the log was held; nil where this boot has
// none. A build that was interrupted is there more than once: the last one counts.
func (s *Service) buildOpening(ctx context.Context, id PodID, held HeldLog) (last *LogOpening, err error) {
	list, err := s.cfg.Log.Openings(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("looking for build %s in the log: %w", id, err)
	}
	for i, o := range list {
		if o.Record.Type == podlog.TypeBuildDone && o.Record.Seq < held.Head.Length {
			last = &list[i]
		}
	}
	return last, nil
}
