package artifacts

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"apocryph/proto/status"
)

// saboteur counts the changes to disk and records, and stops them.
type saboteur struct {
	mu    sync.Mutex
	count int
	// at is the change that fails; all later ones do where dead is set, as after
	// kill -9. only limits it to one kind.
	at    int
	only  string
	err   error
	dead  bool
	trace []string
}

func (s *saboteur) step(op, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.only != "" && op != s.only {
		return nil
	}
	s.count++
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		if name = name[i+1:]; len(name) > 40 {
			name = "segment"
		}
	} else if isID(name) {
		name = "DIR"
	}
	s.trace = append(s.trace, op+" "+name)
	if s.count == s.at || s.dead && s.count > s.at {
		return s.err
	}
	return nil
}

var errKilled = errors.New("killed")

// TestCrashAtEachStep stops an upload before each change that it makes, starts
// again, and looks: what was acknowledged is there, a complete artifact is
// whole, and no file is left that nothing names.
func TestCrashAtEachStep(t *testing.T) {
	want := noise(150_000)
	calls := map[string]func(*Store, string) (acknowledged int64){
		"upload": func(s *Store, id string) int64 {
			a, _ := s.Upload(t.Context(), "team", id, bytes.NewReader(want), nil)
			return a.Size
		},
		"parts": func(s *Store, id string) (at int64) {
			if s.Begin(t.Context(), "team", id, int64(len(want))) != nil {
				return 0
			}
			for at < int64(len(want)) {
				n, err := s.Append(t.Context(), "team", id, at, bytes.NewReader(want[at:at+50_000]), nil)
				if err != nil {
					return at
				}
				at = n
			}
			return at
		},
		"replace": func(s *Store, id string) int64 {
			_ = s.Begin(t.Context(), "team", id, -1)
			_, _ = s.Append(t.Context(), "team", id, 0, bytes.NewReader(want[:9]), nil)
			a, _ := s.Upload(t.Context(), "team", id, bytes.NewReader(want), nil)
			return a.Size
		},
		"delete": func(s *Store, id string) int64 {
			_, _ = s.Upload(t.Context(), "team", id, bytes.NewReader(want), nil)
			_ = s.Delete(t.Context(), "team", id)
			return 0
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			steps := 0
			for at := 1; ; at++ {
				records := newBook()
				cfg := Config{Dir: t.TempDir(), Records: records}
				s, stop := start(t, cfg)
				id := create(t, s)
				bad := &saboteur{at: at, err: errKilled, dead: true}
				s.disk.step, records.step = bad.step, bad.step
				acknowledged := call(s, id)
				stop()
				records.step = newBook().step

				s, stop = start(t, cfg)
				offset, _, _ := s.Offset(t.Context(), "team", id)
				a, err := s.Get(t.Context(), "team", id)
				switch {
				case err != nil && name != "delete":
					t.Fatalf("step %d (%s): the record is lost", at, bad.trace[len(bad.trace)-1])
				case offset < acknowledged:
					t.Fatalf("step %d (%s): %d bytes were acknowledged, %d are here", at, bad.trace[len(bad.trace)-1], acknowledged, offset)
				case a.Complete && (a.SHA256 != hexSum(want) || !bytes.Equal(readBack(t, s, id), want)):
					t.Fatalf("step %d: a complete artifact with other bytes", at)
				}
				named := 0
				if st, err := s.loadState(id); err == nil {
					named = 1 + len(st.segments)
				}
				if got := files(t, cfg.Dir); len(got) != named || err != nil && len(got) > 0 || s.used != offset {
					t.Fatalf("step %d: %d files are named, there are %q; offset %d, %d bytes used", at, named, got, offset, s.used)
				}
				if err == nil {
					if _, err := s.Upload(t.Context(), "team", id, bytes.NewReader(want), nil); err != nil {
						t.Fatalf("step %d: uploading again: %v", at, err)
					}
				}
				stop()
				if bad.count < at {
					break
				}
				steps = at
			}
			if steps < 8 {
				t.Errorf("only %d steps", steps)
			}
		})
	}
}

// TestFailAtEachStep has each change fail once, in a store that goes on.
func TestFailAtEachStep(t *testing.T) {
	want := noise(150_000)
	for at := 1; ; at++ {
		records := newBook()
		cfg := Config{Dir: t.TempDir(), Records: records}
		s, stop := start(t, cfg)
		id := create(t, s)
		bad := &saboteur{at: at, err: syscall.EIO}
		s.disk.step, records.step = bad.step, bad.step
		_ = s.Begin(t.Context(), "team", id, int64(len(want)))
		for range 10 {
			offset, _, err := s.Offset(t.Context(), "team", id)
			if err != nil {
				_ = s.Begin(t.Context(), "team", id, int64(len(want)))
				continue
			}
			_, _ = s.Append(t.Context(), "team", id, offset, bytes.NewReader(want[offset:min(offset+50_000, int64(len(want)))]), nil)
		}
		a, err := s.Get(t.Context(), "team", id)
		if err != nil || a.SHA256 != hexSum(want) || !bytes.Equal(readBack(t, s, id), want) || s.used != a.Size {
			t.Fatalf("step %d: %+v, %v, %d bytes used", at, a, err, s.used)
		}
		stop()
		if bad.count < at {
			return
		}
	}
}

// TestOrder is the order that crash safety rests upon and that a killed process
// does not show: data before names, names before the record.
func TestOrder(t *testing.T) {
	records := newBook()
	s, _ := start(t, Config{Dir: t.TempDir(), Records: records})
	id := create(t, s)
	log := &saboteur{}
	s.disk.step, records.step = log.step, log.step
	if _, err := s.Upload(t.Context(), "team", id, bytes.NewReader(noise(9)), nil); err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(log.trace, func(op string) bool { return strings.HasPrefix(op, "write ") })
	want := []string{
		"mkdir DIR", "syncdir .", "create segment", "sync segment", "syncdir DIR",
		"create state.age.tmp", "sync state.age.tmp", "rename state.age", "syncdir DIR", "save DIR",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestDiskFull(t *testing.T) {
	for at := 1; at <= 6; at++ {
		cfg := Config{Dir: t.TempDir(), Records: newBook()}
		s, _ := start(t, cfg)
		id := create(t, s)
		bad := &saboteur{at: at, only: "write", err: &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}}
		s.disk.step = bad.step
		_, err := s.Upload(t.Context(), "team", id, bytes.NewReader(noise(150_000)), nil)
		if bad.count < at {
			if err != nil {
				t.Error(err)
			}
			return
		}
		if left := files(t, cfg.Dir); len(left) > 0 || s.used != 0 {
			t.Errorf("write %d: left %q, %d bytes used", at, left, s.used)
		}
		if e := classed(err); e == nil {
			t.Fatal("a full disk is no error")
		}
		wantReason(t, err, status.ResourceExhausted, "artifact.disk_full")
	}
}
