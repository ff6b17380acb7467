package publisher_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"apocryph/attest/receipt"
	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// TestReceiptIsKept with the key that it opens with.
func TestReceiptIsKept(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	d, err := w.service().Deploy(t.Context(), w.request(to(p)))
	must(t, err)
	app := w.apps["app@p"]
	if !bytes.Equal(app.ReceiptKey, p.sign.Public().(ed25519.PublicKey)) {
		t.Errorf("remembered the key %x", app.ReceiptKey)
	}
	r, err := receipt.Open(app.Receipt, app.ReceiptKey)
	must(t, err)
	if r.Manifest != d.ManifestDigest || r.Revision != 1 {
		t.Errorf("got %+v", r)
	}
}

// TestReceiptOfWhatWasThere answers an update with the revision that it was to replace.
func TestReceiptOfWhatWasThere(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p")
	_, err := w.service().Deploy(t.Context(), w.request(to(p)))
	must(t, err)
	p.result = func(r *publisher.Provisioned) { r.Revision = 1 }
	_, err = w.service().Deploy(t.Context(), w.request(to(p)))
	refused(t, err, status.Untrusted, "receipt.other")
}

// TestReceiptsThatAreNotForThis make the deploy untrusted, and say what is wrong.
func TestReceiptsThatAreNotForThis(t *testing.T) {
	_, foreign, err := ed25519.GenerateKey(nil)
	must(t, err)
	change := func(f func(*receipt.Receipt)) func(*fake) {
		return func(p *fake) {
			p.receipted = func(r *receipt.Receipt) ed25519.PrivateKey { f(r); return p.sign }
		}
	}
	for name, c := range map[string]struct {
		change func(*fake)
		reason string
	}{
		"another key":      {func(p *fake) { p.receipted = func(*receipt.Receipt) ed25519.PrivateKey { return foreign } }, "receipt.refused"},
		"no envelope":      {func(p *fake) { p.result = func(r *publisher.Provisioned) { r.Receipt = []byte("{}") } }, "receipt.refused"},
		"empty":            {func(p *fake) { p.result = func(r *publisher.Provisioned) { r.Receipt = []byte{} } }, "receipt.missing"},
		"another provider": {change(func(r *receipt.Receipt) { r.Provider = "12D3KooWother" }), "receipt.other"},
		"another pod":      {change(func(r *receipt.Receipt) { r.PodID += "x" }), "receipt.other"},
		"another revision": {change(func(r *receipt.Receipt) { r.Revision++ }), "receipt.other"},
		"another manifest": {change(func(r *receipt.Receipt) { r.Manifest = manifest.DigestOf([]byte("another")) }), "receipt.other"},
		"another boot":     {change(func(r *receipt.Receipt) { r.BootEpoch[0] ^= 1 }), "receipt.other"},
		"another image":    {change(func(r *receipt.Receipt) { r.Images[0].ImageID = manifest.DigestOf([]byte("another")).String() }), "receipt.other"},
		"another cid":      {change(func(r *receipt.Receipt) { r.Images[0].CID += "x" }), "receipt.other"},
		"another name":     {change(func(r *receipt.Receipt) { r.Images[0].Container = "other" }), "receipt.other"},
		"one image more":   {change(func(r *receipt.Receipt) { r.Images = append(r.Images, r.Images[0]) }), "receipt.other"},
		"another endpoint": {change(func(r *receipt.Receipt) {
			r.Endpoints = append(r.Endpoints, receipt.Endpoint{Container: "web", Protocol: "tcp", URL: "tcp://192.0.2.1:1"})
		}), "receipt.other"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider("p", c.change)
			_, err := w.service().Deploy(t.Context(), w.request(to(p)))
			refused(t, err, status.Untrusted, c.reason)
			if len(w.apps["app@p"].Receipt) > 0 {
				t.Error("kept the receipt")
			}
		})
	}
}
