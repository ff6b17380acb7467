package publisher

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/attest"
	"apocryph/attest/receipt"
	"apocryph/proto/status"
)

// checkReceipt refuses a provision whose receipt is not about what was
// deployed, or not signed with an attested key, and returns the key that signed.
func (s *Service) checkReceipt(ctx context.Context, req DeployRequest, a *Attested, p *pinned, got Provisioned, replaced uint64) ([]byte, error) {
	if len(got.Receipt) == 0 {
		return nil, status.New(status.Untrusted, "receipt.missing", "the provider signed no receipt for the pod").
			WithHint("it may run an older version")
	}
	r, err := receipt.Open(got.Receipt, a.Result.Claims.ReceiptPublicKey)
	if status.ReasonOf(err) == "receipt.signature" {
		// A provider that was started again meanwhile has another key, and shows so.
		again, attestErr := s.Attest(ctx, a.Provider, req.Policy, attest.PurposeProvision, nil)
		if attestErr != nil {
			return nil, fmt.Errorf("attesting the provider again: %w", attestErr)
		}
		if !again.Verdict.Affirmed {
			return nil, denied(again.Verdict)
		}
		a = again
		r, err = receipt.Open(got.Receipt, a.Result.Claims.ReceiptPublicKey)
	}
	if err != nil {
		return nil, status.Wrap(err, status.Untrusted, "receipt.refused", "the provider's receipt is not good: %s", status.Public(err).Detail)
	}
	return a.Result.Claims.ReceiptPublicKey, matchReceipt(r, a, p, got, replaced)
}

// matchReceipt compares a receipt with what was deployed and what was answered.
func matchReceipt(r receipt.Receipt, a *Attested, p *pinned, got Provisioned, replaced uint64) error {
	var faults []status.Fault
	want := func(field, got, want string) {
		if got != want {
			faults = append(faults, status.Fault{Field: "receipt." + field, Got: got, Want: want})
		}
	}
	if id, err := peer.IDFromBytes(a.Result.Claims.ProviderPeer); err != nil || r.Provider != id.String() {
		want("provider", r.Provider, string(a.Provider.ID))
	}
	want("manifest", r.Manifest.String(), p.digest.String())
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
	for _, c := range p.manifest.Containers {
		pinned = append(pinned, c.Name+"="+c.Image.ImageID+" "+c.Image.CID)
	}
	want("images", strings.Join(runs, ", "), strings.Join(pinned, ", "))
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
