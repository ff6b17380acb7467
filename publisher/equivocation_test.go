package publisher_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"apocryph/proto/status"
	"apocryph/publisher"
)

// caught is a provider that showed two logs of one size, and its accusation.
func caught(t testing.TB, w *world) (*fake, publisher.Accusation) {
	p := w.provider("p", logs)
	w.attest(p)
	w.attest(p)
	p.book.fork(1)
	w.attest(p)
	a, err := w.seen(p).Accuse(t.Context(), p.id)
	must(t, err)
	return p, a
}

func TestAccusation(t *testing.T) {
	w := newWorld(t)
	p, a := caught(t, w)
	b, err := a.Encode()
	must(t, err)
	got, err := publisher.DecodeAccusation(b)
	must(t, err)
	pub := p.sign.Public().(ed25519.PublicKey)
	for _, keys := range [][]ed25519.PublicKey{nil, {pub}} {
		old, now, err := got.Check(keys...)
		must(t, err)
		if old.Size != 2 || now.Size != 2 || old.Root == now.Root {
			t.Errorf("got %+v and %+v", old, now)
		}
	}
	_, _, err = got.Check(make(ed25519.PublicKey, 32))
	refused(t, err, status.Untrusted, "tlog.signature")
	got.Provider = "q"
	_, _, err = got.Check()
	refused(t, err, status.Untrusted, "tlog.signature")
}

// TestNoAccusation: the honest cannot be accused, and heads of different sizes
// prove nothing to others, until two of one size are there.
func TestNoAccusation(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p", logs)
	w.attest(p)
	_, err := w.seen(p).Accuse(t.Context(), p.id)
	refused(t, err, status.NotFound, "transparency.no_conflict")
	w.attest(p)
	w.attest(p)
	p.book.fork(0)
	w.attest(p)
	_, err = w.seen(p).Accuse(t.Context(), p.id)
	refused(t, err, status.InvalidArgument, "tlog.unproven")
	w.attest(p) // its second log has two entries now
	w.attest(p) // and three, as the first one had
	_, err = w.seen(p).Accuse(t.Context(), p.id)
	must(t, err)
	for range 20 {
		w.attest(p)
	}
	if n := len(w.seen(p).Conflicts); n != 8 {
		t.Errorf("%d conflicts are kept", n)
	}
}

func TestDecodeAccusationRefuses(t *testing.T) {
	w := newWorld(t)
	_, a := caught(t, w)
	good, err := a.Encode()
	must(t, err)
	for name, b := range map[string][]byte{
		"nothing":         nil,
		"no json":         []byte("x"),
		"cut":             good[:len(good)/2],
		"twice":           append(bytes.Clone(good), good...),
		"another field":   bytes.Replace(good, []byte(`"version"`), []byte(`"versio"`), 1),
		"another version": bytes.Replace(good, []byte(`"version": 1`), []byte(`"version": 2`), 1),
		"a short key":     bytes.Replace(good, []byte(`"keys": [`), []byte(`"keys": ["AAAA",`), 1),
		"huge":            append(bytes.Clone(good), strings.Repeat(" ", publisher.MaxAccusation)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := publisher.DecodeAccusation(b)
			refused(t, err, status.InvalidArgument, "transparency.parse")
		})
	}
}

func FuzzAccusation(f *testing.F) {
	f.Add([]byte(`{"version":1,"provider":"p","keys":[],"proof":"AA=="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := publisher.DecodeAccusation(b)
		if err != nil {
			return
		}
		// Nobody can be accused without a key.
		if _, _, err := a.Check(); err == nil && len(a.Keys) == 0 {
			t.Error("it convinces without keys")
		}
	})
}
