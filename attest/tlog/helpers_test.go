package tlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const peer = "12D3KooWExample"

var (
	at    = time.Date(2026, 11, 21, 10, 0, 0, 120e6, time.UTC)
	epoch = []byte{1, 2, 3, 4}
	// The keys are the same in every run, for the goldens.
	key      = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	otherKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	keys     = []ed25519.PublicKey{pub(key)}
)

func pub(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func sum(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func release() Release { return Release{sum("salt"), sum("manifest"), "mzxw6ytboi"} }

// entry is different for each number and name.
func entry(name string, n int) Entry {
	return ClaimsEntry(at.Add(time.Duration(n)*time.Second), sum(fmt.Sprint(name, n)))
}

func entries(name string, n int) []Entry {
	es := make([]Entry, n)
	for i := range es {
		es[i] = entry(name, i)
	}
	return es
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// world is a provider's log, and the heads that it signed.
type world struct {
	t   testing.TB
	log *Log
	mem *Memory
	now time.Time
}

func newWorld(t testing.TB, es []Entry) *world {
	w := &world{t: t, mem: new(Memory), now: at}
	w.log = New(w.mem)
	w.add(es...)
	return w
}

func (w *world) add(es ...Entry) {
	w.t.Helper()
	for _, e := range es {
		if _, err := w.log.Append(w.t.Context(), e); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) sign() ([]byte, Head) {
	w.t.Helper()
	w.now = w.now.Add(time.Minute)
	b, h, err := w.log.Sign(w.t.Context(), peer, epoch, w.now, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return b, h
}

func (w *world) inclusion(index, size int64) Inclusion {
	w.t.Helper()
	return must[Inclusion](w.t)(w.log.ProveInclusion(w.t.Context(), index, size))
}

func (w *world) consistency(old, size int64) Consistency {
	w.t.Helper()
	return must[Consistency](w.t)(w.log.ProveConsistency(w.t.Context(), old, size))
}

// signText signs any text as a note of the log.
func signText(t testing.TB, text, peer string, k ed25519.PrivateKey) []byte {
	t.Helper()
	v := must[note.Verifier](t)(verifier(peer, pub(k)))
	return must[[]byte](t)(note.Sign(&note.Note{Text: text}, signer{v, k}))
}

func refused(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Errorf("got %v (%v %s), want %v %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has changed: got\n%s", path, got)
	}
}
