package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	// refetchAfter is the least time between two fetches of a key set: unknown
	// key ids are free to make up, and must not become requests of ours.
	refetchAfter = 30 * time.Second
	// refreshAfter is the age at which a key set in use is fetched anew, so
	// that a key that was taken out of it stops to count.
	refreshAfter = 10 * time.Minute
	// keysLast is how long a set counts that cannot be fetched anew.
	keysLast = time.Hour
)

var errKeyUnknown = errors.New("no key of the set is meant")

// keySource is a JWK set that is fetched when it is needed. It starts no
// goroutine: the caller who finds a fetch due makes it, those who need its
// outcome wait for the same one, the others go on with what is cached.
type keySource struct {
	url    string
	client *http.Client
	now    func() time.Time
	log    *slog.Logger
	flight singleflight.Group

	mu      sync.Mutex
	keys    []verifyKey
	fetched time.Time // the last success
	tried   time.Time // the last attempt
	failure error     // of the last attempt
}

// find is the key for a token's header. It is errKeyUnknown where a set that
// could be fetched lately does not have it, and unavailable where that is not
// known.
func (s *keySource) find(ctx context.Context, id string, alg jose.SignatureAlgorithm) (verifyKey, error) {
	key, known, due := s.cached(id, alg)
	if known && !due {
		return key, nil
	}
	s.refetch(ctx)
	if key, known, _ := s.cached(id, alg); known {
		return key, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil && fresh(s.now(), s.fetched, keysLast) {
		return verifyKey{}, errKeyUnknown
	}
	wait := max(time.Second, refetchAfter-s.now().Sub(s.tried))
	return verifyKey{}, unknowable(s.failure, wait, "the issuer's keys cannot be fetched, so this token cannot be checked")
}

// cached looks at what is there; due is whether a caller who can wait should
// fetch first.
func (s *keySource) cached(id string, alg jose.SignatureAlgorithm) (key verifyKey, known, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !fresh(now, s.fetched, keysLast) {
		return verifyKey{}, false, true
	}
	key, known = pick(s.keys, id, alg)
	return key, known, !fresh(now, s.fetched, refreshAfter) && !fresh(now, s.tried, refetchAfter)
}

// refetch fetches the set, unless it was tried lately, or waits for who does.
// The fetch is not the caller's alone, so it outlives a caller who hangs up, by
// remoteTimeout at most.
func (s *keySource) refetch(ctx context.Context) {
	_, _, _ = s.flight.Do("", func() (any, error) {
		s.mu.Lock()
		if fresh(s.now(), s.tried, refetchAfter) {
			s.mu.Unlock()
			return nil, nil
		}
		s.tried = s.now()
		s.mu.Unlock()

		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), remoteTimeout)
		defer cancel()
		keys, err := s.fetch(ctx)

		s.mu.Lock()
		defer s.mu.Unlock()
		s.failure = err
		if err != nil {
			// Many callers share this outcome; none of them is told the cause.
			s.log.Warn("cannot fetch the keys of tokens", "err", err, "keys_cached", len(s.keys))
			return nil, nil
		}
		s.keys, s.fetched = keys, s.now()
		s.log.Debug("keys of tokens fetched", "keys", len(keys))
		return nil, nil
	})
}

func (s *keySource) fetch(ctx context.Context) ([]verifyKey, error) {
	code, body, err := get(ctx, s.client, s.url, nil, maxKeySet)
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, errors.New("the server of the keys answered " + http.StatusText(code))
	}
	return parseKeySet(body)
}

// fresh reports whether something of time at is younger than age. What comes
// from the future, because the clock was set back, is not.
func fresh(now, at time.Time, age time.Duration) bool {
	d := now.Sub(at)
	return !at.IsZero() && d >= 0 && d < age
}
