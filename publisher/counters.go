package publisher

import (
	"context"
	"errors"

	"apocryph/attest"
	"apocryph/attest/verify"
)

// Counters remembers what was seen last of the providers' attestation keys.
type Counters interface {
	// ChangeSeen calls change with what was seen of a provider's key, nothing for
	// one that is new, and keeps what change makes of it unless it fails. Nobody
	// else changes it meanwhile.
	ChangeSeen(ctx context.Context, of ProviderID, akName []byte, change func(*verify.Seen) error) error
}

// errRegressed says that the check is in the result, and nothing is to be kept.
var errRegressed = errors.New("the counters do not follow")

// followCounters adds the check that a TPM's counters can come after those that
// were seen of its key (ATT-095), where any were. They are kept only where it
// passes: a machine that was put back stays refused. The error is that they
// cannot be read or kept.
func (s *Service) followCounters(ctx context.Context, of ProviderID, r *attest.Result) error {
	now, ok := verify.Saw(r)
	if !ok {
		return nil
	}
	err := s.cfg.Counters.ChangeSeen(ctx, of, now.AKName, func(last *verify.Seen) error {
		if len(last.AKName) > 0 {
			check, err := last.Follows(r)
			if check.Code == "" {
				return err
			}
			r.Checks = append(r.Checks, check)
			if err != nil {
				return errRegressed
			}
		}
		*last = now
		return nil
	})
	if errors.Is(err, errRegressed) {
		return nil
	}
	return err
}
