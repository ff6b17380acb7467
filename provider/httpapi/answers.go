package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"apocryph/proto/status"
)

// begin notes that a key's answer is being made, or finds the one that was.
func (s *answers) begin(ctx context.Context, key, subject string) (*attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	s.expire(ctx)
	if k := s.byKey[key]; k != nil {
		if k.running {
			return nil, status.New(status.Conflict, "api.key_running", "a request with this Idempotency-Key is still running").
				WithRetryAfter(5 * time.Second)
		}
		return &attempt{key: key, earlier: k}, nil
	}
	own := 0
	for _, k := range s.byKey {
		if k.Subject == subject {
			own++
		}
	}
	if len(s.byKey) >= s.most || own >= max(1, s.most/4) {
		return nil, status.New(status.ResourceExhausted, "api.keys", "too many Idempotency-Keys were used in the last day").WithRetryAfter(time.Hour)
	}
	s.byKey[key] = &kept{Subject: subject, running: true, At: s.now()}
	return &attempt{key: key}, nil
}

// end keeps an answer, nil for none: then the key is free again. An answer that
// cannot be stored is kept until this process ends.
func (s *answers) end(ctx context.Context, key string, k *kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k == nil {
		delete(s.byKey, key)
		return
	}
	s.byKey[key] = k
	if s.store == nil {
		return
	}
	b, err := json.Marshal(k)
	if err == nil {
		err = s.store.Put(ctx, key, b)
	}
	if err != nil {
		s.log.Warn("an answer is not kept over a restart", "err", err)
	}
}

// load reads what an earlier process kept; mu is held.
func (s *answers) load(ctx context.Context) error {
	if s.loaded || s.store == nil {
		return nil
	}
	all, err := s.store.All(ctx)
	if err != nil {
		return fmt.Errorf("loading answers: %w", err)
	}
	for key, b := range all {
		k := new(kept)
		if err := json.Unmarshal(b, k); err != nil {
			s.log.Warn("an answer that was kept cannot be read", "err", err)
			continue
		}
		s.byKey[key] = k
	}
	s.loaded = true
	return nil
}

// expire forgets what is a day old; mu is held.
func (s *answers) expire(ctx context.Context) {
	for key, k := range s.byKey {
		if k.running || s.now().Sub(k.At) < keyTTL {
			continue
		}
		delete(s.byKey, key)
		if s.store != nil {
			if err := s.store.Delete(ctx, key); err != nil {
				s.log.Warn("an answer that ended is still stored", "err", err)
			}
		}
	}
}
