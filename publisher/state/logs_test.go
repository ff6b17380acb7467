package state

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest/tlog"
	"apocryph/proto/status"
	"apocryph/publisher"
)

const (
	// appendEnv makes the test binary a process that appends releases.
	appendEnv = "APOCRYPH_TEST_APPEND"
	logPeer   = "12D3KooWExample"
)

var logKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// head signs a log of one entry, a digest of the name.
func head(t testing.TB, peer, name string, key ed25519.PrivateKey) publisher.SignedHead {
	t.Helper()
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	var digest [32]byte
	copy(digest[:], name)
	l, err := tlog.Rebuild(t.Context(), []tlog.Entry{tlog.ClaimsEntry(at, digest)})
	must(t, err)
	note, _, err := l.Sign(t.Context(), peer, []byte{1}, at, key)
	must(t, err)
	return publisher.SignedHead{Note: note, Key: key.Public().(ed25519.PublicKey)}
}

// release is one of different number.
func release(n int) publisher.SeenRelease {
	return publisher.SeenRelease{
		App: "shop", PodID: "mzxw6ytboi", Claims: [32]byte{byte(n)}, Salt: [tlog.SaltSize]byte{1}, ManifestDigest: [32]byte{2},
		At: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), Number: int64(n),
	}
}

// twoFaced is a log whose provider signed two heads of one size.
func twoFaced(t testing.TB) publisher.SeenLog {
	t.Helper()
	now := time.Date(2026, 11, 21, 10, 1, 0, 0, time.UTC)
	a, b := head(t, logPeer, "a", logKey), head(t, logPeer, "b", logKey)
	return publisher.SeenLog{
		Last: a, Seen: now, Conflicts: []publisher.Conflict{{Before: a, After: b, Reason: "another root", At: now}},
		Releases: []publisher.SeenRelease{release(0)},
	}
}

func keep(t testing.TB, s *State, of publisher.ProviderID, l publisher.SeenLog) {
	t.Helper()
	must(t, s.Logs().ChangeLog(t.Context(), of, func(to *publisher.SeenLog) error { *to = l; return nil }))
}

// TestLogs: what is kept comes back, a change that fails changes nothing.
func TestLogs(t *testing.T) {
	s := newState(t)
	got, err := s.Logs().Log(t.Context(), logPeer)
	must(t, err)
	if diff := cmp.Diff(publisher.SeenLog{}, got); diff != "" {
		t.Error(diff)
	}
	want := twoFaced(t)
	keep(t, s, logPeer, want)
	failure := status.New(status.Unavailable, "test", "no")
	err = s.Logs().ChangeLog(t.Context(), logPeer, func(l *publisher.SeenLog) error { l.Conflicts = nil; return failure })
	refused(t, err, status.Unavailable)
	s, err = Open(s.dir)
	must(t, err)
	got, err = s.Logs().Log(t.Context(), logPeer)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, of := range []publisher.ProviderID{"", "../P", "P/Q"} {
		_, err := s.Logs().Log(t.Context(), of)
		refused(t, err, status.InvalidArgument)
		refused(t, s.Logs().ChangeLog(t.Context(), of, func(*publisher.SeenLog) error { return nil }), status.InvalidArgument)
	}
}

// TestLogAccuses: what was kept proves to others what `transparency check`
// demands, after it went through the file.
func TestLogAccuses(t *testing.T) {
	s := newState(t)
	keep(t, s, logPeer, twoFaced(t))
	l, err := s.Logs().Log(t.Context(), logPeer)
	must(t, err)
	a, err := l.Accuse(t.Context(), logPeer)
	must(t, err)
	b, err := a.Encode()
	must(t, err)
	read, err := publisher.DecodeAccusation(b)
	must(t, err)
	old, now, err := read.Check(logKey.Public().(ed25519.PublicKey))
	must(t, err)
	kept := map[tlog.Hash]bool{}
	for _, h := range []publisher.SignedHead{l.Conflicts[0].Before, l.Conflicts[0].After} {
		opened, err := tlog.OpenHead(h.Note, logPeer, h.Key)
		must(t, err)
		kept[opened.Root] = true
	}
	if old.Size != now.Size || old.Root == now.Root || !kept[old.Root] || !kept[now.Root] {
		t.Errorf("proven are %+v and %+v, kept %v", old, now, kept)
	}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	if _, _, err := read.Check(other); status.CodeOf(err) != status.Untrusted {
		t.Errorf("proven to who knows another key: %v", err)
	}
}

// TestLogDamage: a file that does not hold what was written is never taken for a
// log that was not seen, and is not overwritten.
func TestLogDamage(t *testing.T) {
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	edit := func(change func(*logRecord)) func(testing.TB, *State, []byte) []byte {
		return func(t testing.TB, _ *State, b []byte) []byte {
			var r logRecord
			must(t, json.Unmarshal(b, &r))
			change(&r)
			b, err := json.Marshal(r)
			must(t, err)
			return b
		}
	}
	constant := func(text string) func(testing.TB, *State, []byte) []byte {
		return func(testing.TB, *State, []byte) []byte { return []byte(text) }
	}
	for name, damage := range map[string]func(testing.TB, *State, []byte) []byte{
		"empty": constant(""), "garbage": constant("\x00\xff garbage"), "no object": constant("[]"), "null": constant("null"),
		"newer": constant(`{"version": 2}`), "no version": constant(`{"provider": "` + logPeer + `"}`),
		"zeros as after a crash": func(_ testing.TB, _ *State, b []byte) []byte { return make([]byte, len(b)) },
		"unknown field":          constant(`{"version": 1, "provider": "` + logPeer + `", "colour": "red"}`),
		"huge":                   func(testing.TB, *State, []byte) []byte { return make([]byte, maxFile+1) },
		"twice":                  func(_ testing.TB, _ *State, b []byte) []byte { return append(b, b...) },
		"another provider's file": func(t testing.TB, s *State, _ []byte) []byte {
			keep(t, s, "12D3KooWOther", publisher.SeenLog{Last: head(t, "12D3KooWOther", "a", logKey)})
			b, err := os.ReadFile(s.Logs().path("12D3KooWOther"))
			must(t, err)
			return b
		},
		"another provider's head": edit(func(r *logRecord) { r.Last = headTo(head(t, "12D3KooWOther", "a", logKey)) }),
		"a stranger's key":        edit(func(r *logRecord) { r.Last.Key = headTo(head(t, logPeer, "a", stranger)).Key }),
		"no key":                  edit(func(r *logRecord) { r.Last.Key = "" }),
		"no note":                 edit(func(r *logRecord) { r.Last.Note = "" }),
		"a longer log":            edit(func(r *logRecord) { r.Last.Note = strings.Replace(r.Last.Note, "\n1\n", "\n2\n", 1) }),
		"a conflict with another's head": edit(func(r *logRecord) {
			r.Conflicts[0].After = headTo(head(t, "12D3KooWOther", "b", logKey))
		}),
		"a conflict that was edited": edit(func(r *logRecord) {
			r.Conflicts[0].Before.Note = strings.Replace(r.Conflicts[0].Before.Note, "\n1\n", "\n3\n", 1)
		}),
		"a short salt":   edit(func(r *logRecord) { r.Releases[0].Salt = r.Releases[0].Salt[2:] }),
		"no hex":         edit(func(r *logRecord) { r.Releases[0].Claims = strings.Repeat("x", 64) }),
		"a wrong digest": edit(func(r *logRecord) { r.Releases[0].ManifestDigest = "" }),
	} {
		t.Run(name, func(t *testing.T) {
			s := newState(t)
			keep(t, s, logPeer, twoFaced(t))
			path := s.Logs().path(logPeer)
			whole, err := os.ReadFile(path)
			must(t, err)
			damagedLog(t, s, damage(t, s, whole))
		})
	}
}

// TestLogTruncated cuts the file at each of its bytes.
func TestLogTruncated(t *testing.T) {
	s := newState(t)
	keep(t, s, logPeer, twoFaced(t))
	whole, err := os.ReadFile(s.Logs().path(logPeer))
	must(t, err)
	// Without the line break at the end it is still whole.
	for n := range len(whole) - 1 {
		damagedLog(t, s, whole[:n])
	}
}

// damagedLog wants a file refused, by who reads and by who writes, and left.
func damagedLog(t *testing.T, s *State, data []byte) {
	t.Helper()
	path := s.Logs().path(logPeer)
	must(t, os.WriteFile(path, data, 0o600))
	got, err := s.Logs().Log(t.Context(), logPeer)
	refused(t, err, status.InvalidArgument, path)
	if diff := cmp.Diff(publisher.SeenLog{}, got); diff != "" {
		t.Errorf("something came out: %s", diff)
	}
	err = s.Logs().ChangeLog(t.Context(), logPeer, func(*publisher.SeenLog) error {
		t.Error("a damaged log is changed")
		return nil
	})
	refused(t, err, status.InvalidArgument, path)
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, data) {
		t.Errorf("the file was changed: %v", err)
	}
}

// TestLogIsBounded: as much as a publisher keeps of one provider fits.
func TestLogIsBounded(t *testing.T) {
	s := newState(t)
	full := twoFaced(t)
	full.Conflicts[0].Reason = strings.Repeat("r", 4<<10)
	for range 7 {
		full.Conflicts = append(full.Conflicts, full.Conflicts[0])
	}
	for n := range 1024 {
		r := release(n)
		r.App = strings.Repeat("a", 63)
		full.Releases = append(full.Releases, r)
	}
	keep(t, s, logPeer, full)
	got, err := s.Logs().Log(t.Context(), logPeer)
	must(t, err)
	if diff := cmp.Diff(full, got); diff != "" {
		t.Error(diff)
	}
}

// TestLogLeftover: a process died between write and rename. What was there
// before counts, the next change succeeds, and the leftover goes in time.
func TestLogLeftover(t *testing.T) {
	s := newState(t)
	want := twoFaced(t)
	keep(t, s, logPeer, want)
	path := s.Logs().path(logPeer)
	whole, err := os.ReadFile(path)
	must(t, err)
	left := filepath.Join(filepath.Dir(path), tempPrefix+"1")
	must(t, os.WriteFile(left, whole[:len(whole)/2], 0o600))
	s, err = Open(s.dir)
	must(t, err)
	got, err := s.Logs().Log(t.Context(), logPeer)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	want.Releases = append(want.Releases, release(1))
	keep(t, s, logPeer, want)
	must(t, os.Chtimes(left, time.Time{}, time.Now().Add(-2*staleTemp)))
	s, err = Open(s.dir)
	must(t, err)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the leftover is there: %v", err)
	}
	got, err = s.Logs().Log(t.Context(), logPeer)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// appendReleases is the helper process: it appends releases until its standard
// input ends or limit is reached, and prints a line for each.
func appendReleases(dir string, limit int) {
	s, err := Open(dir)
	for n := 0; err == nil && n < limit; n++ {
		err = s.Logs().ChangeLog(context.Background(), logPeer, func(l *publisher.SeenLog) error {
			l.Releases = append(l.Releases, release(len(l.Releases)))
			return nil
		})
		if err == nil {
			fmt.Println("appended")
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func appender(t *testing.T, s *State, limit int) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", appendEnv, limit), helperEnv+"="+s.dir)
	return cmd
}

// numbered checks that releases are numbered as they were appended.
func numbered(t *testing.T, s *State) int {
	t.Helper()
	l, err := s.Logs().Log(t.Context(), logPeer)
	must(t, err)
	for i, r := range l.Releases {
		if r.Number != int64(i) {
			t.Fatalf("release %d has number %d", i, r.Number)
		}
	}
	return len(l.Releases)
}

// TestLogOfTwoProcesses: no change is lost.
func TestLogOfTwoProcesses(t *testing.T) {
	s := newState(t)
	const each = 25
	var wg sync.WaitGroup
	for range 2 {
		cmd := appender(t, s, each)
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if got := numbered(t, s); got != 2*each {
		t.Errorf("%d releases, want %d", got, 2*each)
	}
}

// TestLogKilled kills a process that writes without end, at whatever it does
// then. What it said was written is there, and the next one goes on.
func TestLogKilled(t *testing.T) {
	s := newState(t)
	for round := range 8 {
		before := numbered(t, s)
		cmd := appender(t, s, 1<<20)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		// One byte more each round, so that it is not always the same moment.
		_, err = io.ReadFull(out, make([]byte, (len("appended\n")+1)*(round+1)))
		must(t, err)
		must(t, cmd.Process.Kill())
		rest, err := io.ReadAll(out)
		must(t, err)
		_ = cmd.Wait()
		said := ((len("appended\n")+1)*(round+1) + len(rest)) / len("appended\n")
		if got := numbered(t, s); got < before+said || got > before+said+1 {
			t.Errorf("%d releases after %d and %d more", got, before, said)
		}
	}
}
