package provider_test

import (
	"context"
	"slices"
	"strings"
	"sync"

	xtlog "golang.org/x/mod/sumdb/tlog"

	"apocryph/attest/tlog"
	"apocryph/provider"
)

// ledgerBook is the disk of a transparency log and of its last head.
type ledgerBook struct {
	tlog.Memory
	mu    sync.Mutex
	saved []byte
	saves int
	// fail is returned by the next saves.
	fail error
}

func (b *ledgerBook) LoadHead() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.saved), nil
}

func (b *ledgerBook) SaveHead(head []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	b.saved, b.saves = slices.Clone(head), b.saves+1
	return nil
}

func (b *ledgerBook) Find(ctx context.Context, leaf tlog.Hash) (int64, bool, error) {
	for i, e := range b.entries(ctx) {
		if e.Leaf() == leaf {
			return int64(i), true, nil
		}
	}
	return 0, false, nil
}

func (b *ledgerBook) entries(ctx context.Context) (out []tlog.Entry) {
	size, _ := b.Size(ctx)
	for i := range size {
		raw, _ := b.Entry(i)
		e, err := tlog.DecodeEntry(raw)
		if err != nil {
			panic(err)
		}
		out = append(out, e)
	}
	return out
}

// older is the log as it was when it had n entries.
func (b *ledgerBook) older(ctx context.Context, n int) *ledgerBook {
	out := &ledgerBook{saved: b.saved}
	l := tlog.New(&out.Memory)
	for _, e := range b.entries(ctx)[:n] {
		if _, err := l.Append(ctx, e); err != nil {
			panic(err)
		}
	}
	return out
}

// bookPort is the log as a process sees it.
type bookPort struct{ n *node }

func (p bookPort) Size(ctx context.Context) (int64, error) { return p.n.w.book.Size(ctx) }

func (p bookPort) ReadHashes(ctx context.Context, numbers []int64) ([]tlog.Hash, error) {
	return p.n.w.book.ReadHashes(ctx, numbers)
}

func (p bookPort) Append(ctx context.Context, size int64, entry []byte, first int64, hashes []xtlog.Hash) error {
	act := func() error { return p.n.w.book.Append(ctx, size, entry, first, hashes) }
	if e, err := tlog.DecodeEntry(entry); err == nil && e.Kind == tlog.KindRelease {
		return p.n.do("append release", act)
	}
	return act()
}

func (p bookPort) Find(ctx context.Context, leaf tlog.Hash) (int64, bool, error) {
	return p.n.w.book.Find(ctx, leaf)
}

func (p bookPort) LoadHead() ([]byte, error) { return p.n.w.book.LoadHead() }

func (p bookPort) SaveHead(b []byte) error { return p.n.w.book.SaveHead(b) }

// released fails the test where a record is stored whose keys' release the log
// does not have.
func (w *world) released(ctx context.Context, r provider.Record) {
	w.t.Helper()
	if r.Release == nil && strings.HasPrefix(string(r.Publisher), "ns:") {
		return // nobody attested this provider
	}
	if r.Release == nil {
		w.t.Errorf("revision %d of %s has no release", r.Revision, r.Name)
		return
	}
	raw, ok := w.book.Entry(r.Release.Number)
	if !ok {
		w.t.Errorf("the release of revision %d of %s is not in the log", r.Revision, r.Name)
		return
	}
	e, err := tlog.DecodeEntry(raw)
	must(w.t, err)
	must(w.t, tlog.CheckRelease(e, r.Release.Claims, tlog.Release{Salt: r.Release.Salt, Manifest: r.ManifestDigest, PodID: string(r.ID)}))
}
