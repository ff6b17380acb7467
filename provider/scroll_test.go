package provider_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"

	"apocryph/attest/podlog"
	"apocryph/manifest"
	"apocryph/provider"
)

// setup is what the log of all tests' providers begins with.
var setup = provider.Setup{
	Provider: "provider", Binary: manifest.DigestOf([]byte("a program")), Storage: "none",
	Parts: []provider.SetupPart{{Name: "settings", Effective: manifest.DigestOf(nil)}},
}

// scroll is a PodLog in memory, which outlives a process like the disk.
type scroll struct {
	hold sync.RWMutex

	mu       sync.Mutex
	head     podlog.Head
	records  []podlog.Record
	events   []podlog.Event
	openings map[provider.PodID][]provider.LogOpening
	// fail is returned for events of a type.
	fail map[podlog.Type]error
}

func (s *scroll) Append(ctx context.Context, pod provider.PodID, e podlog.Event) error {
	s.hold.Lock()
	defer s.hold.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.fail[e.Type()], ctx.Err()); err != nil {
		return err
	}
	salt, err := podlog.NewSalt(rand.Reader)
	if err != nil {
		return err
	}
	r, o, err := podlog.Seal(s.head.Length, e, salt)
	if err != nil {
		return err
	}
	if s.head, err = s.head.Extend(r); err != nil {
		return err
	}
	s.records, s.events = append(s.records, r), append(s.events, e)
	s.openings[pod] = append(s.openings[pod], provider.LogOpening{Record: r, Opening: o})
	return nil
}

func (s *scroll) Hold(context.Context) (provider.HeldLog, error) {
	s.hold.RLock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return provider.HeldLog{
		Register: provider.NoRegister, Head: s.head, Records: slices.Clone(s.records), Release: sync.OnceFunc(s.hold.RUnlock),
	}, nil
}

func (s *scroll) Openings(_ context.Context, pod provider.PodID) ([]provider.LogOpening, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.openings[pod]), nil
}

// types are the kinds of all events, in order.
func (s *scroll) types() []podlog.Type {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []podlog.Type
	for _, e := range s.events {
		out = append(out, e.Type())
	}
	return out
}

// failOn makes events of a type fail; nil lets them pass again.
func (s *scroll) failOn(kind podlog.Type, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = map[podlog.Type]error{kind: err}
}

// reboot is a new boot, whose log is empty.
func (w *world) reboot(t testing.TB) {
	t.Helper()
	w.log = &scroll{openings: map[provider.PodID][]provider.LogOpening{}}
}
