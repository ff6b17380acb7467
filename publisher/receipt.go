package publisher

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/attest/receipt"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// running is what a receipt has to be about. Images are nil where nobody here
// knows them.
type running struct {
	manifest manifest.Digest
	images   []AppImage
}

// runs is what was pinned, as it runs.
func (p *pinned) runs() running {
	r := running{manifest: p.digest, images: []AppImage{}}
	for _, c := range p.manifest.Containers {
		r.images = append(r.images, AppImage{Container: c.Name, CID: c.Image.CID, ImageID: c.Image.ImageID})
	}
	return r
}

// checkReceipt refuses a provision whose receipt is not about what was
// deployed, or not signed with an attested key, and returns the key that signed.
func (s *Service) checkReceipt(ctx context.Context, p *policy.Policy, a *Attested, want running, got Provisioned, replaced uint64) ([]byte, receipt.Receipt, error) {
	var none receipt.Receipt
	if len(got.Receipt) == 0 {
		return nil, none, status.New(status.Untrusted, "receipt.missing", "the provider signed no receipt for the pod").
			WithHint("it may run an older version")
	}
	r, err := receipt.Open(got.Receipt, a.Result.Claims.ReceiptPublicKey)
	if status.ReasonOf(err) == "receipt.signature" {
		// A provider that was started again meanwhile has another key, and shows so.
		again, attestErr := s.Attest(ctx, a.Provider, p, attest.PurposeProvision, nil)
		if attestErr != nil {
			return nil, none, fmt.Errorf("attesting the provider again: %w", attestErr)
		}
		if !again.Verdict.Affirmed {
			return nil, none, denied(again.Verdict)
		}
		a = again
		r, err = receipt.Open(got.Receipt, a.Result.Claims.ReceiptPublicKey)
	}
	if err != nil {
		return nil, none, status.Wrap(err, status.Untrusted, "receipt.refused", "the provider's receipt is not good: %s", status.Public(err).Detail)
	}
	return a.Result.Claims.ReceiptPublicKey, r, matchReceipt(r, a, want, got, replaced)
}

// matchReceipt compares a receipt with what was deployed and what was answered.
func matchReceipt(r receipt.Receipt, a *Attested, expected running, got Provisioned, replaced uint64) error {
	var faults []status.Fault
	want := func(field, got, want string) {
		if got != want {
			faults = append(faults, status.Fault{Field: "receipt." + field, Got: got, Want: want})
		}
	}
	if id, err := peer.IDFromBytes(a.Result.Claims.ProviderPeer); err != nil || r.Provider != id.String() {
		want("provider", r.Provider, string(a.Provider.ID))
	}
	want("manifest", r.Manifest.String(), expected.manifest.String())
	want("pod_id", r.PodID, got.PodID)
	want("revision", fmt.Sprint(r.Revision), fmt.Sprint(got.Revision))
	if got.Revision <= replaced {
		want("revision", fmt.Sprint(got.Revision), fmt.Sprintf("more than %d", replaced))
	}
	if !bytes.Equal(r.BootEpoch, a.Result.Claims.BootEpoch) {
		want("boot_epoch", fmt.Sprintf("%x", r.BootEpoch), fmt.Sprintf("%x", a.Result.Claims.BootEpoch))
	}
	var runs, pinned []string
	for _, i := range r.Images {
		runs = append(runs, i.Container+"="+i.ImageID+" "+i.CID)
	}
	for _, i := range expected.images {
		pinned = append(pinned, i.Container+"="+i.ImageID+" "+i.CID)
	}
	if expected.images != nil {
		want("images", strings.Join(runs, ", "), strings.Join(pinned, ", "))
	}
	var shown, told []string
	for _, e := range r.Endpoints {
		shown = append(shown, e.Container+" "+e.Protocol+" "+e.URL)
	}
	for _, e := range got.Endpoints {
		told = append(told, e.Container+" "+string(e.Protocol)+" "+e.URL)
	}
	want("endpoints", strings.Join(shown, ", "), strings.Join(told, ", "))
	if len(faults) == 0 {
		return nil
	}
	e := status.Invalid("receipt.other", "the provider's receipt", faults)
	e.Code = status.Untrusted
	return e
}
