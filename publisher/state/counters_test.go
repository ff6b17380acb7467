package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest/verify"
	"apocryph/proto/status"
	"apocryph/publisher"
)

const seenProvider = publisher.ProviderID("12D3KooWProvider")

func TestCounters(t *testing.T) {
	s := newState(t)
	c, ak := s.Counters(), bytes.Repeat([]byte{7}, 34)
	see := func(of publisher.ProviderID, ak []byte, want verify.Seen, next *verify.Seen) {
		t.Helper()
		err := c.ChangeSeen(t.Context(), of, ak, func(got *verify.Seen) error {
			if diff := cmp.Diff(want, *got); diff != "" {
				t.Errorf("seen (-want +got):\n%s", diff)
			}
			if next != nil {
				*got = *next
			}
			return nil
		})
		must(t, err)
	}
	first := verify.Seen{AKName: ak, BootEpoch: []byte("monday"), ResetCount: 3, RestartCount: 1}
	see(seenProvider, ak, verify.Seen{}, &first)
	see(seenProvider, ak, first, nil)
	// Another key, and another provider with the same key, are others.
	see(seenProvider, ak[1:], verify.Seen{}, nil)
	see("12D3KooWOther", ak, verify.Seen{}, nil)

	no := errors.New("no")
	err := c.ChangeSeen(t.Context(), seenProvider, ak, func(got *verify.Seen) error {
		got.ResetCount = 99
		return no
	})
	if !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	// It is as another process finds it.
	again, err := Open(s.dir)
	must(t, err)
	c = again.Counters()
	see(seenProvider, ak, first, nil)
	info, err := os.Stat(c.path(seenProvider, ak))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
}

// TestCountersRefuse: what cannot be read is not taken for a machine that is new.
func TestCountersRefuse(t *testing.T) {
	ak := bytes.Repeat([]byte{7}, 34)
	for name, tt := range map[string]struct {
		of     publisher.ProviderID
		ak     []byte
		file   string
		epoch  []byte
		reason string
	}{
		"no provider":    {"", ak, "", nil, "state.counters"},
		"path":           {"../x", ak, "", nil, "state.counters"},
		"no key":         {seenProvider, nil, "", nil, "state.counters"},
		"long key":       {seenProvider, make([]byte, 67), "", nil, "state.counters"},
		"long epoch":     {seenProvider, ak, "", make([]byte, 65), "state.counters"},
		"noise":          {seenProvider, ak, "{", nil, "state.corrupt"},
		"another's":      {seenProvider, ak, `{"version":1,"provider":"x","ak_name":"07"}`, nil, "state.corrupt"},
		"newer":          {seenProvider, ak, `{"version":2}`, nil, "state.newer"},
		"negative count": {seenProvider, ak, `{"version":1,"reset_count":-1}`, nil, "state.corrupt"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newState(t).Counters()
			if tt.file != "" {
				must(t, os.WriteFile(c.path(tt.of, tt.ak), []byte(tt.file), 0o600))
			}
			err := c.ChangeSeen(t.Context(), tt.of, tt.ak, func(s *verify.Seen) error {
				s.BootEpoch = tt.epoch
				return nil
			})
			if status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != tt.reason {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCountersAreBounded(t *testing.T) {
	s := newState(t)
	c := s.Counters()
	dir := filepath.Join(s.dir, "counters")
	old := filepath.Join(dir, "0.json")
	for i := range maxCounters {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.json", i)), []byte("{}"), 0o600))
	}
	past := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(old, past, past))
	must(t, c.ChangeSeen(t.Context(), seenProvider, []byte("ak"), func(s *verify.Seen) error { s.ResetCount = 1; return nil }))
	all, err := os.ReadDir(dir)
	must(t, err)
	if _, gone := os.Stat(old); len(all) != maxCounters || !errors.Is(gone, os.ErrNotExist) {
		t.Errorf("%d files, the oldest: %v", len(all), gone)
	}
}
