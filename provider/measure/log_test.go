package measure

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest/podlog"
	"apocryph/proto/status"
	"apocryph/provider"
)

func begin(t testing.TB, m *machine) podlog.Head {
	t.Helper()
	init, err := podlog.Begin(m.small[:], m.large[:])
	must(t, err)
	return init
}

// find is the path of a log's file, of which there is one of each kind.
func find(t testing.TB, dir, name string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, name+"-*"))
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("got the files %v", all)
	}
	return all[0]
}

// A log goes on after a restart, and each pod's openings are its own.
func TestGoesOn(t *testing.T) {
	m := newMachine()
	init, dir := begin(t, m), t.TempDir()
	var want []podlog.Event
	for n := range 4 {
		l, _ := start(t, config(dir, m), m)
		must(t, l.Append(t.Context(), "alice", event("alice", n)))
		must(t, l.Append(t.Context(), "bob", event("bob", n)))
		must(t, l.Append(t.Context(), "", &podlog.Ready{At: at}))
		want = append(want, event("alice", n))
		if diff := cmp.Diff(want, opened(t, l, "alice")); diff != "" {
			t.Error(diff)
		}
		if h := judge(t, l, m, init); h.Register != "pcr14" || len(h.Records) != 3*(n+1) {
			t.Errorf("got %s and %d records", h.Register, len(h.Records))
		}
		if got := opened(t, l, "carol"); len(got) != 0 {
			t.Errorf("a pod without events has %v", got)
		}
		must(t, l.Close())
	}
}

// What is on the disk tells its owner nothing of what the events say.
func TestDiskIsSealed(t *testing.T) {
	m, dir := newMachine(), t.TempDir()
	l, _ := start(t, config(dir, m), m)
	must(t, l.Append(t.Context(), "podcanary", &podlog.PodStop{At: at, PodID: "podcanary", Revision: 1, Instance: "canary", Cause: "canary"}))
	for _, name := range []string{journalFile, openingsFile} {
		b, err := os.ReadFile(find(t, dir, name))
		must(t, err)
		if bytes.Contains(b, []byte("canary")) || len(b) == 0 {
			t.Errorf("%s shows it", name)
		}
		info, err := os.Stat(find(t, dir, name))
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	must(t, l.Close())
}

func TestNewBootBeginsAnew(t *testing.T) {
	m, dir := newMachine(), t.TempDir()
	l, _ := start(t, config(dir, m), m)
	must(t, l.Append(t.Context(), "pod", event("pod", 0)))
	must(t, l.Close())
	// A reset, after which the boot loader left something else in the register.
	m.small, m.large, m.extended = [32]byte{9}, [48]byte{9}, map[[32]byte]int{}
	init := begin(t, m)
	cfg := config(dir, m)
	// Neither damage nor another key of that time keeps this boot from its log.
	must(t, os.WriteFile(find(t, dir, journalFile), []byte("damaged"), 0o600))
	cfg.Epoch, cfg.Key = []byte("next boot"), bytes.Repeat([]byte{3}, KeySize)
	l, _ = start(t, cfg, m)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("got the files %v, %v", files, err)
	}
	if got := opened(t, l, "pod"); len(got) != 0 {
		t.Errorf("the new boot knows %v", got)
	}
	must(t, l.Append(t.Context(), "pod", event("pod", 7)))
	judge(t, l, m, init)
	must(t, l.Close())
}

// What the register does not confirm is not gone on with.
func TestOpenRefuses(t *testing.T) {
	flip := func(name string, at int) func(*testing.T, string, *machine, *Config) {
		return func(t *testing.T, dir string, _ *machine, _ *Config) {
			b, err := os.ReadFile(find(t, dir, name))
			must(t, err)
			b[(at+len(b))%len(b)] ^= 1
			must(t, os.WriteFile(find(t, dir, name), b, 0o600))
		}
	}
	for name, tt := range map[string]struct {
		spoil  func(t *testing.T, dir string, m *machine, cfg *Config)
		code   status.Code
		reason string
	}{
		"extended by another": {func(t *testing.T, _ string, m *machine, _ *Config) {
			must(t, m.Extend(t.Context(), [32]byte{1}, [48]byte{1}))
		}, status.Untrusted, "podlog.register"},
		"reset within the boot": {func(_ *testing.T, _ string, m *machine, _ *Config) {
			m.small, m.large = newMachine().small, newMachine().large
		}, status.Untrusted, "podlog.register"},
		"one bank only": {func(_ *testing.T, _ string, m *machine, _ *Config) { m.large[0] ^= 1 }, status.Untrusted, "podlog.register"},
		"an old journal": {func(t *testing.T, dir string, m *machine, cfg *Config) {
			path := find(t, dir, journalFile)
			old, err := os.ReadFile(path)
			must(t, err)
			l, _ := start(t, *cfg, m)
			must(t, l.Append(t.Context(), "pod", event("pod", 5)))
			must(t, l.Close())
			must(t, os.WriteFile(path, old, 0o600))
		}, status.Untrusted, "podlog.register"},
		"no key":         {func(_ *testing.T, _ string, _ *machine, cfg *Config) { cfg.Key = nil }, 0, ""},
		"damaged header": {flip(journalFile, 6), status.Internal, "podlog.journal"},
		"damaged record": {flip(journalFile, -40), status.Internal, "podlog.journal"},
		"journal of another boot": {func(t *testing.T, dir string, m *machine, cfg *Config) {
			path := find(t, dir, journalFile)
			other := *cfg
			other.Dir, other.Epoch = t.TempDir(), []byte("other")
			l, _ := start(t, other, m)
			must(t, l.Close())
			must(t, os.Rename(find(t, other.Dir, journalFile), path))
		}, status.Unavailable, "podlog.epoch"},
		"another key": {func(_ *testing.T, _ string, _ *machine, cfg *Config) {
			cfg.Key = bytes.Repeat([]byte{2}, KeySize)
		}, status.Internal, "podlog.journal"},
		"silent register": {func(_ *testing.T, _ string, m *machine, _ *Config) { m.values = errRegister }, 0, ""},
		"no epoch":        {func(_ *testing.T, _ string, _ *machine, cfg *Config) { cfg.Epoch = nil }, status.InvalidArgument, "podlog.bank"},
	} {
		t.Run(name, func(t *testing.T) {
			m, dir := newMachine(), t.TempDir()
			cfg := config(dir, m)
			l, _ := start(t, cfg, m)
			must(t, l.Append(t.Context(), "pod", event("pod", 0)))
			must(t, l.Close())
			tt.spoil(t, dir, m, &cfg)
			l, err := Open(t.Context(), cfg)
			if err == nil {
				_ = l.Close()
				t.Fatal("it opens")
			}
			if tt.reason != "" {
				refused(t, err, tt.code, tt.reason)
			}
		})
	}
}

// A journal that was taken away begins anew where the register is now, so the
// log does not replay from what boot left in it.
func TestTakenAwayIsSeen(t *testing.T) {
	m, dir := newMachine(), t.TempDir()
	init := begin(t, m)
	l, _ := start(t, config(dir, m), m)
	must(t, l.Append(t.Context(), "pod", event("pod", 0)))
	must(t, l.Close())
	must(t, os.RemoveAll(dir))
	l, _ = start(t, config(dir, m), m)
	must(t, l.Append(t.Context(), "pod", event("pod", 1)))
	h, err := l.Hold(t.Context())
	must(t, err)
	h.Release()
	_, err = podlog.CheckReplay(h.Records, init, podlog.SHA256, m.small[:])
	refused(t, err, status.Untrusted, "podlog.replay")
	must(t, l.Close())
}

// Damaged openings cost their owner what they say, and nobody the log.
func TestDamagedOpenings(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func([]byte) []byte
		left  int
	}{
		"a bit":     {func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, 2},
		"first bit": {func(b []byte) []byte { b[headerSize+3] ^= 1; return b }, 2},
		"sequence":  {func(b []byte) []byte { b[lengthSize+7] ^= 1; return b }, 2},
		"cut":       {func(b []byte) []byte { return b[:len(b)-5] }, 2},
		"emptied":   {func([]byte) []byte { return nil }, 0},
		"length":    {func(b []byte) []byte { b[0] = 0xff; return b }, 0},
		"zeros":     {func(b []byte) []byte { return make([]byte, len(b)) }, 0},
		"appended":  {func(b []byte) []byte { return append(b, "rest"...) }, 3},
		"twice":     {func(b []byte) []byte { return append(b, b...) }, 6},
	} {
		t.Run(name, func(t *testing.T) {
			m, dir := newMachine(), t.TempDir()
			init := begin(t, m)
			l, _ := start(t, config(dir, m), m)
			for n := range 3 {
				must(t, l.Append(t.Context(), "pod", event("pod", n)))
			}
			must(t, l.Close())
			path := find(t, dir, openingsFile)
			b, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, tt.spoil(b), 0o600))
			l, _ = start(t, config(dir, m), m)
			if got := len(opened(t, l, "pod")); got != tt.left {
				t.Errorf("got %d openings, want %d", got, tt.left)
			}
			must(t, l.Append(t.Context(), "pod", event("pod", 3)))
			must(t, l.Close())
			l, _ = start(t, config(dir, m), m)
			if got := len(opened(t, l, "pod")); got != tt.left+1 {
				t.Errorf("one more: got %d openings, want %d", got, tt.left+1)
			}
			judge(t, l, m, init)
			must(t, l.Close())
		})
	}
}

// A register that answers with an error is asked what it did.
func TestRegisterFails(t *testing.T) {
	for name, tt := range map[string]struct {
		fails []string
		ok    bool
	}{
		"before it extends":       {[]string{"before"}, true},
		"after it extended":       {[]string{"after"}, true},
		"twice":                   {[]string{"before", "before"}, false},
		"before, then after":      {[]string{"before", "after"}, false},
		"it mends for the second": {[]string{"after", ""}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine()
			init := begin(t, m)
			l, _ := start(t, config(t.TempDir(), m), m)
			must(t, l.Append(t.Context(), "pod", event("pod", 0)))
			m.fails = tt.fails
			err := l.Append(t.Context(), "pod", event("pod", 1))
			if tt.ok {
				must(t, err)
			} else {
				refused(t, err, status.Unavailable, "podlog.extend")
			}
			m.fails = nil
			must(t, l.Append(t.Context(), "pod", event("pod", 2)))
			if h := judge(t, l, m, init); len(h.Records) != 3 {
				t.Errorf("got %d records", len(h.Records))
			}
			must(t, l.Close())
		})
	}
}

// While nobody knows what the register has, nothing is shown and nothing goes on.
func TestRegisterGone(t *testing.T) {
	m := newMachine()
	init := begin(t, m)
	l, _ := start(t, config(t.TempDir(), m), m)
	m.fails, m.values = []string{"after"}, errRegister
	for range 3 {
		refused(t, l.Append(t.Context(), "pod", event("pod", 0)), status.Unavailable, "podlog.extend")
		_, err := l.Hold(t.Context())
		refused(t, err, status.Unavailable, "podlog.extend")
	}
	m.values = nil
	if h := judge(t, l, m, init); len(h.Records) != 1 {
		t.Errorf("got %d records", len(h.Records))
	}
	must(t, m.Extend(t.Context(), [32]byte{1}, [48]byte{1}))
	m.fails = []string{"before"}
	err := l.Append(t.Context(), "pod", event("pod", 1))
	if err == nil {
		t.Error("a register that somebody else extended is gone on with")
	}
	must(t, l.Close())
}

// A disk that fails leaves the log as it was.
func TestDiskFails(t *testing.T) {
	for _, where := range []int{0, 1} {
		for _, what := range []string{"write", "sync"} {
			m, dir := newMachine(), t.TempDir()
			init := begin(t, m)
			l, files := start(t, config(dir, m), m)
			must(t, l.Append(t.Context(), "pod", event("pod", 0)))
			files[where].fail[what] = errors.New("no space")
			refused(t, l.Append(t.Context(), "pod", event("pod", 1)), status.Unavailable, "podlog.disk")
			must(t, l.Append(t.Context(), "pod", event("pod", 2)))
			if h := judge(t, l, m, init); len(h.Records) != 2 {
				t.Errorf("got %d records", len(h.Records))
			}
			// What cannot be put back is not written on.
			files[where].fail[what], files[where].fail["truncate"] = errors.New("no space"), errors.New("no disk")
			for range 2 {
				refused(t, l.Append(t.Context(), "pod", event("pod", 3)), status.Unavailable, "podlog.disk")
			}
			must(t, l.Close())
			l, _ = start(t, config(dir, m), m)
			judge(t, l, m, init)
			must(t, l.Close())
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	m := newMachine()
	init := begin(t, m)
	l, _ := start(t, config(t.TempDir(), m), m)
	refused(t, l.Append(t.Context(), "", nil), status.InvalidArgument, "podlog.event")
	refused(t, l.Append(t.Context(), "", &podlog.Ready{}), status.InvalidArgument, "podlog.event")
	if err := l.Append(t.Context(), provider.PodID(make([]byte, maxPodID+1)), event("pod", 0)); err == nil {
		t.Error("a pod id that does not fit is logged")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Append(ctx, "pod", event("pod", 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: got %v", err)
	}
	l.cfg.Random = iotest.ErrReader(errors.New("no randomness"))
	if err := l.Append(t.Context(), "pod", event("pod", 0)); err == nil {
		t.Error("an event without a salt is logged")
	}
	if h := judge(t, l, m, init); len(h.Records) != 0 {
		t.Errorf("got %d records", len(h.Records))
	}
	must(t, l.Close())
}

// While somebody holds the log it does not move, and it goes on afterwards.
func TestHold(t *testing.T) {
	m := newMachine()
	l, _ := start(t, config(t.TempDir(), m), m)
	must(t, l.Append(t.Context(), "pod", event("pod", 0)))
	h, err := l.Hold(t.Context())
	must(t, err)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			if err := l.Append(t.Context(), "pod", event("pod", n)); err != nil {
				t.Error(err)
			}
		})
	}
	for range 100 {
		if small, _, _ := m.Values(t.Context()); !bytes.Equal(small, h.Head.SHA256[:]) {
			t.Fatal("the register moved while the log was held")
		}
	}
	h.Release()
	h.Release()
	wg.Wait()
	after, err := l.Hold(t.Context())
	must(t, err)
	after.Release()
	if len(h.Records) != 1 || len(after.Records) != 9 {
		t.Errorf("got %d then %d records", len(h.Records), len(after.Records))
	}
	must(t, l.Close())
}
