package provider_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/attest/receipt"
	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// receiptKey is the key of a running process, as its claims have it.
func (n *node) receiptKey() ed25519.PublicKey {
	claims, _ := n.attest(alice, attest.PurposeProvision)
	return claims.ReceiptPublicKey
}

// TestReceipt is signed once for a revision, and anew for the next one and by
// the next process.
func TestReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		m := app("app", img, host("a.example"))
		got := n.deploy(order(t, alice, provider.Create, m))
		r, err := receipt.Open(got.Receipt, n.receiptKey())
		must(t, err)
		want := receipt.Receipt{
			PodID: string(got.PodID), Revision: 1, Manifest: got.ManifestDigest,
			BootEpoch: []byte("boot"), Images: []receipt.Image{{Container: "web", ImageID: img.ImageID, CID: img.CID}},
			Endpoints: []receipt.Endpoint{{Container: "web", Protocol: "http", URL: "http://a.example/"}},
		}
		if diff := cmp.Diff(want, r, cmpopts.IgnoreFields(receipt.Receipt{}, "Provider", "Started", "Issued", "LogPosition", "LogHead")); diff != "" {
			t.Error(diff)
		}
		log := must1(w.log.Hold(t.Context()))
		log.Release()
		if started := log.Records[r.LogPosition]; started.Type != podlog.TypePodStart || !bytes.Equal(r.LogHead, must1(log.Head.Value(podlog.SHA384))) {
			t.Errorf("the receipt names record %d, %s, and head %x", r.LogPosition, started.Type, r.LogHead)
		}
		if r.Started.IsZero() || r.Issued.Before(r.Started) {
			t.Errorf("started %s, issued %s", r.Started, r.Issued)
		}
		v, err := n.Status(t.Context(), alice, "app")
		must(t, err)
		if !bytes.Equal(v.Receipt, got.Receipt) {
			t.Error("a look at the pod shows another receipt")
		}

		old := n.receiptKey()
		got = n.deploy(order(t, alice, provider.Update, app("app", w.image("echo", "2", ";", "sleep"), host("b.example")), replaces(1)))
		r, err = receipt.Open(got.Receipt, old)
		must(t, err)
		if r.Revision != 2 || r.Manifest != got.ManifestDigest || r.Images[0].ImageID == img.ImageID || r.Endpoints[0].URL != "http://b.example/" {
			t.Errorf("got %+v", r)
		}

		n.stop()
		n = w.run()
		<-n.Ready()
		later(time.Second)
		v, err = n.Status(t.Context(), alice, "app")
		must(t, err)
		if _, err := receipt.Open(v.Receipt, old); status.ReasonOf(err) != "receipt.signature" {
			t.Errorf("signed with the key of the process before: %v", err)
		}
		r, err = receipt.Open(v.Receipt, n.receiptKey())
		must(t, err)
		if r.Revision != 2 {
			t.Errorf("got %+v", r)
		}
	})
}

// TestNoReceipt of a pod that does not run.
func TestNoReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		_, err := n.provision(order(t, alice, provider.Create, app("app", w.image("exit", "1"))))
		refused(t, err, status.AppFailed, "app.exited")
		v, err := n.Status(t.Context(), alice, "app")
		must(t, err)
		if len(v.Receipt) > 0 {
			t.Errorf("got a receipt of a pod that is %s", v.State)
		}
	})
}

// TestBackendsSayWhatRuns there, so that the ingress can hold requests against it.
func TestBackendsSayWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		got := n.deploy(order(t, alice, provider.Create, app("app", img, host("a.example"))))
		to := n.board.of(got.PodID).to
		if len(to) != 1 || to[0].Manifest != got.ManifestDigest || !cmp.Equal(to[0].ImageIDs, []string{img.ImageID}) || to[0].Manifest == (manifest.Digest{}) {
			t.Errorf("got %+v", to)
		}
	})
}
