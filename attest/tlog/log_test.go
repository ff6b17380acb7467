package tlog

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"apocryph/proto/status"
)

// faulty is a storage that breaks or lies where it is told to.
type faulty struct {
	*Memory
	size   func(int64) (int64, error)
	hashes func([]Hash) ([]Hash, error)
	err    error
}

func (f faulty) Size(ctx context.Context) (int64, error) {
	n, err := f.Memory.Size(ctx)
	if f.size != nil && err == nil {
		return f.size(n)
	}
	return n, err
}

func (f faulty) ReadHashes(ctx context.Context, numbers []int64) ([]Hash, error) {
	h, err := f.Memory.ReadHashes(ctx, numbers)
	if f.hashes != nil && err == nil {
		return f.hashes(h)
	}
	return h, err
}

func (f faulty) Append(ctx context.Context, size int64, entry []byte, first int64, hashes []Hash) error {
	if f.err != nil {
		return f.err
	}
	return f.Memory.Append(ctx, size, entry, first, hashes)
}

var errDisk = errors.New("disk")

// A storage that fails or lies never makes the provider sign or prove a thing.
func TestLogRefusesBadStorage(t *testing.T) {
	noSize := func(int64) (int64, error) { return 0, errDisk }
	noHashes := func([]Hash) ([]Hash, error) { return nil, errDisk }
	fewer := func(h []Hash) ([]Hash, error) { return h[:len(h)-1], nil }
	flip := func(h []Hash) ([]Hash, error) {
		h[0][0] ^= 1
		return h, nil
	}
	_, head := newWorld(t, entries("a", 7)).sign()
	ops := map[string]func(l *Log) error{
		"append":      func(l *Log) error { _, err := l.Append(t.Context(), entry("a", 7)); return err },
		"sign":        func(l *Log) error { _, _, err := l.Sign(t.Context(), peer, epoch, at, key); return err },
		"contains":    func(l *Log) error { return l.Contains(t.Context(), head) },
		"inclusion":   func(l *Log) error { _, err := l.ProveInclusion(t.Context(), 2, 7); return err },
		"consistency": func(l *Log) error { _, err := l.ProveConsistency(t.Context(), 3, 7); return err },
	}
	for name, tt := range map[string]struct {
		f       faulty
		except  string
		damaged bool
	}{
		"size fails":        {faulty{size: noSize}, "", false},
		"size negative":     {faulty{size: func(int64) (int64, error) { return -1, nil }}, "", true},
		"size absurd":       {faulty{size: func(int64) (int64, error) { return 1 << 62, nil }}, "", true},
		"hashes fail":       {faulty{hashes: noHashes}, "", false},
		"fewer hashes":      {faulty{hashes: fewer}, "", false},
		"too few are there": {faulty{size: func(n int64) (int64, error) { return n + 9, nil }}, "contains inclusion consistency", false},
	} {
		for op, run := range ops {
			t.Run(name+"/"+op, func(t *testing.T) {
				w := newWorld(t, entries("a", 7))
				tt.f.Memory = w.mem
				err := run(New(tt.f))
				switch {
				case err == nil && name != "too few are there":
					t.Error("accepted")
				case err == nil && (op == "append" || op == "sign"):
					t.Error("accepted")
				case tt.damaged:
					refused(t, err, status.Internal, "tlog.damaged")
				}
			})
		}
	}
	for _, op := range []string{"contains", "inclusion"} {
		t.Run("hashes changed/"+op, func(t *testing.T) {
			w := newWorld(t, entries("a", 7))
			refused(t, ops[op](New(faulty{Memory: w.mem, hashes: flip})), status.Internal, "tlog.damaged")
		})
	}
	t.Run("one hash changed", func(t *testing.T) {
		w := newWorld(t, entries("a", 7))
		w.mem.hashes[tlog.StoredHashIndex(0, 2)][0] ^= 1
		refused(t, ops["consistency"](w.log), status.Internal, "tlog.damaged")
	})
	t.Run("append fails", func(t *testing.T) {
		w := newWorld(t, entries("a", 7))
		if err := ops["append"](New(faulty{Memory: w.mem, err: errDisk})); !errors.Is(err, errDisk) {
			t.Errorf("got %v", err)
		}
		if n, _ := w.mem.Size(t.Context()); n != 7 {
			t.Errorf("%d entries", n)
		}
	})
}

func TestLogIsFull(t *testing.T) {
	l := New(faulty{Memory: new(Memory), size: func(int64) (int64, error) { return MaxSize, nil }})
	_, err := l.Append(t.Context(), entry("a", 0))
	refused(t, err, status.ResourceExhausted, "tlog.full")
}

// The disk goes back in time: the provider notices before it signs.
func TestContains(t *testing.T) {
	w := newWorld(t, entries("a", 7))
	_, old := w.sign()
	w.add(entry("a", 7))
	if err := w.log.Contains(t.Context(), old); err != nil {
		t.Error(err)
	}
	if err := w.log.Contains(t.Context(), Head{Root: emptyRoot()}); err != nil {
		t.Errorf("the empty log: %v", err)
	}
	for name, l := range map[string]*world{
		"shorter": newWorld(t, entries("a", 6)),
		"another": newWorld(t, append(entries("a", 6), entry("b", 6), entry("a", 7))),
		"empty":   newWorld(t, nil),
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, l.log.Contains(t.Context(), old), status.Internal, "tlog.damaged")
		})
	}
	refused(t, w.log.Contains(t.Context(), Head{Size: -1}), status.Internal, "tlog.damaged")
}

func TestProofsOfWhatIsNotThere(t *testing.T) {
	w := newWorld(t, entries("a", 7))
	for _, x := range [][2]int64{{-1, 7}, {7, 7}, {0, 8}, {8, 8}, {0, 0}, {3, 2}, {0, -1}} {
		_, err := w.log.ProveInclusion(t.Context(), x[0], x[1])
		refused(t, err, status.InvalidArgument, "tlog.range")
	}
	for _, x := range [][2]int64{{-1, 7}, {8, 7}, {0, 8}, {3, 2}, {0, -1}} {
		_, err := w.log.ProveConsistency(t.Context(), x[0], x[1])
		refused(t, err, status.InvalidArgument, "tlog.range")
	}
	_, _, err := w.log.Sign(t.Context(), "", epoch, at, key)
	refused(t, err, status.InvalidArgument, "tlog.invalid")
}

func TestConcurrentAppends(t *testing.T) {
	w := newWorld(t, nil)
	// Whoever has read the size appends before another reads it.
	var inside atomic.Int32
	w.log = New(faulty{Memory: w.mem, size: func(n int64) (int64, error) {
		if inside.Add(1) > 1 {
			t.Error("two appends at the same time")
		}
		for range 100 {
			runtime.Gosched()
		}
		inside.Add(-1)
		return n, nil
	}})
	const n = 64
	seen := make([]int64, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			index, err := w.log.Append(t.Context(), entry("a", i))
			if err != nil {
				t.Error(err)
			}
			seen[i] = index
		})
	}
	wg.Wait()
	w.log = New(w.mem)
	_, h := w.sign()
	for i, index := range seen {
		if err := CheckInclusion(h, entry("a", i), w.inclusion(index, n)); err != nil {
			t.Error(err)
		}
	}
}

func TestMemory(t *testing.T) {
	m := new(Memory)
	refused(t, m.Append(t.Context(), 1, nil, 0, nil), status.Conflict, "tlog.moved")
	refused(t, m.Append(t.Context(), 0, nil, 1, nil), status.Conflict, "tlog.moved")
	if _, ok := m.Entry(0); ok {
		t.Error("an entry of an empty log")
	}
	if _, ok := m.Entry(-1); ok {
		t.Error("entry -1")
	}
	_, err := m.ReadHashes(t.Context(), []int64{0})
	refused(t, err, status.Internal, "tlog.damaged")
	w := newWorld(t, entries("a", 3))
	b, ok := w.mem.Entry(2)
	if e := must[Entry](t)(DecodeEntry(b)); !ok || e != entry("a", 2) {
		t.Errorf("got %v", e)
	}
	if _, err := Rebuild(t.Context(), []Entry{{}}); err == nil {
		t.Error("a log of nothing was rebuilt")
	}
}

func BenchmarkAppend(b *testing.B) {
	w := newWorld(b, nil)
	e := entry("a", 0)
	for b.Loop() {
		w.add(e)
	}
}

func BenchmarkProveInclusion(b *testing.B) {
	w := newWorld(b, entries("a", 10000))
	for b.Loop() {
		w.inclusion(5000, 10000)
	}
}
