package provider_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/attest"
	"apocryph/attest/receipt"
	"apocryph/attest/verify"
	"apocryph/proto/status"
	"apocryph/provider"
)

// TestAttestEndpoint binds the nonce, the host, the ingress's key and the pod,
// and is good for nobody's provision.
func TestAttestEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		key := bytes.Repeat([]byte{9}, 32)
		n := w.run(func(c *provider.Config) { c.IngressTLSKey = key })
		img := w.image("sleep")
		got := n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		ch := attest.Challenge{Purpose: attest.PurposeEndpoint, Nonce: [32]byte{1}, Host: "a.example", TLSKey: key}
		e, err := n.AttestEndpoint(t.Context(), got.PodID, ch.Host, ch.Nonce)
		must(t, err)
		roots := verify.RootsShown(nil, e.Evidence)
		result, err := verify.Evidence(e.Evidence, e.Claims, ch, nil, roots, w.now())
		must(t, err)
		pod := result.Claims.Pod
		if pod.PodID != string(got.PodID) || !bytes.Equal(pod.ManifestDigest, got.ManifestDigest[:]) || len(pod.Images) != 1 ||
			pod.Images[0] != (attest.ImageClaims{Container: "web", CID: img.CID, ImageID: img.ImageID}) {
			t.Errorf("got %+v", pod)
		}
		if r, err := receipt.Open(e.Receipt, result.Claims.ReceiptPublicKey); err != nil || r.PodID != pod.PodID {
			t.Errorf("got %+v, %v", r, err)
		}
		for name, change := range map[string]func(*attest.Challenge){
			"nonce": func(c *attest.Challenge) { c.Nonce[0]++ },
			"host":  func(c *attest.Challenge) { c.Host = "b.example" },
			"key":   func(c *attest.Challenge) { c.TLSKey = bytes.Repeat([]byte{8}, 32) },
			"use":   func(c *attest.Challenge) { c.Purpose, c.Host = attest.PurposeProvision, "" },
		} {
			other := ch
			change(&other)
			if _, err := verify.Evidence(e.Evidence, e.Claims, other, nil, roots, w.now()); err == nil {
				t.Errorf("good for another %s", name)
			}
		}
		_, err = n.AttestEndpoint(t.Context(), provider.PodIDOf(bob, "app"), ch.Host, ch.Nonce)
		refused(t, err, status.NotFound, "pod.unknown")
		_, err = n.ActivateEndpoint(t.Context(), attest.Activate{ClaimsDigest: attest.ClaimsDigest(e.Claims)})
		refused(t, err, status.Unimplemented, "endpoint.no_tpm")

		_, err = n.provision(order(t, alice, provider.Create, app("bad", w.image("exit", "1"))))
		refused(t, err, status.AppFailed, "app.exited")
		_, err = n.AttestEndpoint(t.Context(), provider.PodIDOf(alice, "bad"), "b.example", ch.Nonce)
		refused(t, err, status.Unavailable, "pod.not_running")
	})
}

// TestEndpointClaims are remembered for two minutes, and never too many.
func TestEndpointClaims(t *testing.T) {
	e := provider.NewEndpointClaims()
	now := time.Now()
	digest := func(n int) [32]byte { return [32]byte{byte(n), byte(n >> 8), 1} }
	e.Add(digest(0), now)
	if !e.Has(digest(0), now.Add(2*time.Minute-1)) || e.Has(digest(0), now.Add(2*time.Minute)) || e.Has(digest(1), now) {
		t.Error("remembered for another time, or what was not issued")
	}
	for n := range 4096 {
		e.Add(digest(n+1), now)
	}
	if e.Has(digest(0), now) || !e.Has(digest(1), now) || !e.Has(digest(4096), now) || e.Len() != 4096 {
		t.Errorf("%d remembered", e.Len())
	}
	e.Add(digest(5000), now.Add(time.Hour))
	if e.Len() != 1 {
		t.Errorf("%d remembered for an hour", e.Len())
	}
}
