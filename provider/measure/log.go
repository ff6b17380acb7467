package measure

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"apocryph/attest/podlog"
	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// KeySize is the length of a log's key in bytes.
	KeySize = 32
	// extendTime bounds the work on a register that goes on although whoever asked
	// has given up.
	extendTime = time.Minute
)

// Config is where a log lives and what it is extended into.
type Config struct {
	// Dir is made, with mode 0700, where it is not there yet.
	Dir string
	// Key is [KeySize] bytes that the disk's owner does not have.
	Key []byte
	// Register is nil where the machine has none.
	Register provider.Register
	// Epoch is 1 to 64 bytes that are new at every boot.
	Epoch []byte
	// Random is where salts come from; crypto/rand's reader everywhere but in tests.
	Random io.Reader
	Logger *slog.Logger
}

// Log is the pod log of this boot. Its methods may be called from any
// goroutine; events are logged one after the other.
type Log struct {
	cfg  Config
	log  *slog.Logger
	name string

	// mu is read-held by who shows the log, and held by who makes it longer. Go's
	// lock lets no reader pass a waiting writer, so nobody's questions keep pods
	// from starting.
	mu       sync.RWMutex
	journal  podlog.Journal
	records  []podlog.Record
	file     *disk
	openings *openings
}

var _ provider.PodLog = (*Log)(nil)

// Append logs an event; see [provider.PodLog]. A log that is full is
// resource_exhausted "podlog.full", a register that does not answer unavailable
// "podlog.extend", a disk that cannot be written unavailable "podlog.disk".
func (l *Log) Append(ctx context.Context, pod provider.PodID, e podlog.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	// From here on it is finished: a caller who hangs up must not leave open
	// whether the register has the event.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), extendTime)
	defer cancel()
	if err := l.settle(ctx); err != nil {
		return err
	}
	salt, err := podlog.NewSalt(l.cfg.Random)
	if err != nil {
		return err
	}
	r, opening, err := podlog.Seal(l.journal.Head.Length, e, salt)
	if err != nil {
		return err
	}
	next, frame, err := l.journal.Record(r)
	if err != nil {
		return err
	}
	at, err := l.openings.keep(pod, r.Seq, opening)
	if err != nil {
		return err
	}
	if err := l.file.append(frame, true); err != nil {
		return err
	}
	l.journal, l.records = next, append(l.records, r)
	l.openings.note(pod, at)
	if l.cfg.Register != nil {
		if err := l.cfg.Register.Extend(ctx, r.SHA256(), r.SHA384()); err != nil {
			// It may have come through: the register tells.
			if again := l.settle(ctx); again != nil {
				return unextended(errors.Join(err, again))
			}
			l.log.Warn("the register was extended at the second try", "seq", r.Seq, "err", err)
			return nil
		}
	}
	if err := l.mark(); err != nil {
		// The event counts all the same, and the next one marks it first.
		l.log.Warn("marking an event as extended", "seq", r.Seq, "err", err)
	}
	return nil
}

// settle brings journal and register together where a record has no mark. The
// caller holds mu.
func (l *Log) settle(ctx context.Context) error {
	if _, pending := l.journal.Pending(); !pending {
		return nil
	}
	if l.cfg.Register == nil {
		return l.mark()
	}
	now, err := l.look(ctx)
	if err != nil {
		return unextended(err)
	}
	plan, err := l.journal.Reconcile(now)
	if err != nil {
		return err
	}
	if plan.Extend != nil {
		if err := l.cfg.Register.Extend(ctx, plan.Extend.SHA256(), plan.Extend.SHA384()); err != nil {
			return unextended(err)
		}
	}
	return l.mark()
}

func (l *Log) mark() error {
	next, frame, err := l.journal.Mark()
	if err != nil {
		return err
	}
	if err := l.file.append(frame, false); err != nil {
		return err
	}
	l.journal = next
	return nil
}

// look reads the register.
func (l *Log) look(ctx context.Context) (podlog.Boot, error) {
	now := podlog.Boot{Epoch: l.cfg.Epoch}
	if l.cfg.Register == nil {
		now.SHA384 = make([]byte, sha512.Size384)
		return now, nil
	}
	var err error
	now.SHA256, now.SHA384, err = l.cfg.Register.Values(ctx)
	return now, err
}

func unextended(cause error) error {
	return status.Wrap(cause, status.Unavailable, "podlog.extend", "the register of the pod log does not answer").
		WithHint("nothing is started that is not measured; `provider doctor` looks at the device")
}

// Hold returns the log as it stands; see [provider.PodLog]. While nobody knows
// whether the register has the last event it is unavailable "podlog.extend".
func (l *Log) Hold(ctx context.Context) (provider.HeldLog, error) {
	l.mu.RLock()
	if _, pending := l.journal.Pending(); pending {
		l.mu.RUnlock()
		if err := l.settleNow(ctx); err != nil {
			return provider.HeldLog{}, err
		}
		l.mu.RLock()
		if _, pending := l.journal.Pending(); pending {
			l.mu.RUnlock()
			return provider.HeldLog{}, unextended(errors.New("an event waits"))
		}
	}
	return provider.HeldLog{
		Register: l.name, Head: l.journal.Head, Records: slices.Clip(l.records),
		Release: sync.OnceFunc(l.mu.RUnlock),
	}, nil
}

func (l *Log) settleNow(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), extendTime)
	defer cancel()
	return l.settle(ctx)
}

// Openings returns the openings of a pod's events, oldest first; see
// [provider.PodLog]. Those that the disk has lost are left out.
func (l *Log) Openings(ctx context.Context, pod provider.PodID) ([]provider.LogOpening, error) {
	l.mu.RLock()
	places, records := slices.Clip(l.openings.byPod[pod]), slices.Clip(l.records)
	l.mu.RUnlock()
	out := make([]provider.LogOpening, 0, len(places))
	for _, at := range places {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		whose, opening, err := l.openings.read(at)
		if err != nil || whose != pod {
			l.log.Warn("an opening cannot be read", "seq", at.seq, "err", err)
			continue
		}
		out = append(out, provider.LogOpening{Record: records[at.seq], Opening: opening})
	}
	return out, nil
}

// Close closes the files. Nothing may be logged after it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.file.f.Close(), l.openings.f.Close())
}

// keys are derived from the one of the configuration.
func (c Config) keys() (journal, openings []byte, err error) {
	if len(c.Key) != KeySize {
		return nil, nil, fmt.Errorf("the pod log's key has %d bytes, want %d", len(c.Key), KeySize)
	}
	for _, k := range []struct {
		info string
		out  *[]byte
	}{{"apocryph/measure/1/journal", &journal}, {"apocryph/measure/1/openings", &openings}} {
		if *k.out, err = hkdf.Expand(sha256.New, c.Key, k.info, KeySize); err != nil {
			return nil, nil, err
		}
	}
	return journal, openings, nil
}
