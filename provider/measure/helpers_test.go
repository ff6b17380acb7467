package measure

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apocryph/attest/podlog"
	"apocryph/proto/status"
	"apocryph/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = time.UnixMilli(1_700_000_000_000).UTC()

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Fatalf("got %v (%v %s), want %v %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

// event is a pod's n-th start.
func event(pod provider.PodID, n int) podlog.Event {
	return &podlog.PodStart{At: at, PodID: string(pod), Revision: uint64(n + 1), Instance: "instance"}
}

// crashed is how a process dies in these tests.
type crashed struct{}

// machine is what outlives a process: a register, and when the next one dies.
type machine struct {
	small [32]byte
	large [48]byte
	// extended counts the extensions by digest.
	extended map[[32]byte]int
	// left is how many steps there are until the process dies; -1 is never.
	left int

	mu sync.Mutex // guards fails and values
	// fails are what the next extensions do: an error before or after it.
	fails  []string
	values error
}

func newMachine() *machine {
	return &machine{extended: map[[32]byte]int{}, left: -1, small: sha256.Sum256([]byte("shim")), large: sha512.Sum384([]byte("shim"))}
}

func (m *machine) tick() {
	if m.left == 0 {
		panic(crashed{})
	}
	m.left--
}

func (m *machine) Name() string { return "pcr14" }

var errRegister = errors.New("no answer")

func (m *machine) Extend(_ context.Context, small [32]byte, large [48]byte) error {
	m.tick()
	m.mu.Lock()
	defer m.mu.Unlock()
	fail := ""
	if len(m.fails) > 0 {
		fail, m.fails = m.fails[0], m.fails[1:]
	}
	if fail == "before" {
		return errRegister
	}
	m.small = sha256.Sum256(append(m.small[:], small[:]...))
	m.large = sha512.Sum384(append(m.large[:], large[:]...))
	m.extended[small]++
	m.tick()
	if fail == "after" {
		return errRegister
	}
	return nil
}

func (m *machine) Values(context.Context) ([]byte, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values != nil {
		return nil, nil, m.values
	}
	return bytes.Clone(m.small[:]), bytes.Clone(m.large[:]), nil
}

// fragile is a file whose process may die within each write and before all else.
type fragile struct {
	*os.File
	m *machine
	// fail is returned by the next call of each kind.
	fail map[string]error
}

func (f *fragile) take(what string) error {
	err := f.fail[what]
	delete(f.fail, what)
	return err
}

func (f *fragile) WriteAt(b []byte, off int64) (int, error) {
	done := 0
	for _, end := range []int{1, 5, len(b) / 2, len(b) - 1, len(b)} {
		f.m.tick()
		n, err := f.File.WriteAt(b[done:end], off+int64(done))
		done += n
		if err = errors.Join(err, f.take("write")); err != nil {
			return done, err
		}
	}
	return done, nil
}

// Sync does not wait for a disk: what is written survives a kill without it.
func (f *fragile) Sync() error {
	f.m.tick()
	return f.take("sync")
}

func (f *fragile) Truncate(n int64) error {
	f.m.tick()
	return errors.Join(f.take("truncate"), f.File.Truncate(n))
}

func config(dir string, r provider.Register) Config {
	return Config{Dir: dir, Key: bytes.Repeat([]byte{1}, KeySize), Epoch: []byte("boot"), Register: r}
}

// start opens a log whose process may die; files are its journal and openings.
func start(t testing.TB, cfg Config, m *machine) (l *Log, files []*fragile) {
	t.Helper()
	var all []*os.File
	t.Cleanup(func() {
		for _, f := range all {
			_ = f.Close() // the log may have done so
		}
	})
	l, err := open(t.Context(), cfg, func(f *os.File) file {
		all = append(all, f)
		files = append(files, &fragile{File: f, m: m, fail: map[string]error{}})
		return files[len(files)-1]
	})
	must(t, err)
	return l, files
}

// dies runs one life of a process and reports whether it was killed.
func dies(life func()) (killed bool) {
	defer func() {
		if r := recover(); r != nil {
			if r != (crashed{}) {
				panic(r)
			}
			killed = true
		}
	}()
	life()
	return false
}

// judge holds the log against the machine: everything was extended once, and
// the register is what the records make of it.
func judge(t testing.TB, l *Log, m *machine, init podlog.Head) provider.HeldLog {
	t.Helper()
	h, err := l.Hold(t.Context())
	must(t, err)
	h.Release()
	if len(h.Records) != len(m.extended) || h.Head.Length != uint64(len(h.Records)) {
		t.Fatalf("%d records, %d of them extended, length %d", len(h.Records), len(m.extended), h.Head.Length)
	}
	for _, r := range h.Records {
		if n := m.extended[r.SHA256()]; n != 1 {
			t.Fatalf("record %d was extended %d times", r.Seq, n)
		}
	}
	if _, err := podlog.CheckReplay(h.Records, init, podlog.SHA256, m.small[:]); err != nil {
		t.Fatal(err)
	}
	if got, err := podlog.CheckReplay(h.Records, init, podlog.SHA384, m.large[:]); err != nil || got != h.Head {
		t.Fatalf("another head: %v", err)
	}
	return h
}

// opened are the openings of a pod, as events.
func opened(t testing.TB, l *Log, pod provider.PodID) []podlog.Event {
	t.Helper()
	list, err := l.Openings(t.Context(), pod)
	must(t, err)
	var out []podlog.Event
	for _, o := range list {
		e, err := podlog.Open(o.Record, o.Opening)
		must(t, err)
		out = append(out, e)
	}
	return out
}
