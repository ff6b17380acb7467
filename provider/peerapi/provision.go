package peerapi

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"apocryph/manifest/offer"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/provider"
)

// eventInterval is the least time between two events of one stage: progress is
// for people, and a fast fetch would flood a slow line.
const eventInterval = 100 * time.Millisecond

const (
	// maxKeys and maxSecrets bound the lists of a sealed order, which
	// is already bounded in bytes.
	maxKeys    = 64
	maxSecrets = 1024
)

func (a *API) provision(ctx context.Context, s *rpc.ServerStream[*podpb.ProvisionResponse], req *podpb.ProvisionRequest) error {
	r, err := provisionFromWire(req)
	if err != nil {
		return err
	}
	send := throttled(func(e *podpb.ProvisionEvent) error {
		return s.Send(&podpb.ProvisionResponse{Body: &podpb.ProvisionResponse_Event{Event: e}})
	})
	got, err := a.svc.Provision(ctx, publisherOf(s.Peer()), []byte(s.Peer()), r, orderFromWire, send)
	if err != nil {
		return err
	}
	return s.Send(&podpb.ProvisionResponse{Body: &podpb.ProvisionResponse_Result{Result: a.provisionedToWire(s.Peer(), got)}})
}

func (a *API) provisionedToWire(id peer.ID, got provider.Provisioned) *podpb.ProvisionResult {
	return &podpb.ProvisionResult{
		PodId: string(got.PodID), Revision: got.Revision, Endpoints: a.endpointsToWire(id, got.Endpoints),
		Confirm: got.Confirm, ManifestDigest: got.ManifestDigest[:], Receipt: got.Receipt, Release: releaseToWire(got.Release),
		DryRun: dryRunToWire(got.Dry),
	}
}

// throttled sends progress, the first and last of each stage and some between.
func throttled(send func(*podpb.ProvisionEvent) error) func(provider.Progress) {
	var mu sync.Mutex
	var last provider.Progress
	var at time.Time
	return func(p provider.Progress) {
		mu.Lock()
		defer mu.Unlock()
		final := p.Total > 0 && p.Done == p.Total
		if p == last || p.Stage == last.Stage && !final && time.Since(at) < eventInterval {
			return
		}
		last, at = p, time.Now()
		// A caller that is gone does not stop the pod; the handler's context ends.
		_ = send(&podpb.ProvisionEvent{Stage: podpb.Stage(p.Stage), Bytes: p.Done, Total: p.Total, Rate: p.Rate, Source: p.Source})
	}
}

func provisionFromWire(req *podpb.ProvisionRequest) (provider.ProvisionRequest, error) {
	r := provider.ProvisionRequest{
		Operation: provider.Operation(req.GetOperation()), Enc: req.GetEnc(), Ciphertext: req.GetCiphertext(),
	}
	var faults []status.Fault
	fixed := func(field string, dst, src []byte) {
		if len(src) != len(dst) {
			faults = append(faults, status.Fault{Field: field, Got: bytesText(len(src)), Want: bytesText(len(dst))})
		}
		copy(dst, src)
	}
	fixed("request_id", r.RequestID[:], req.GetRequestId())
	fixed("claims_digest", r.ClaimsDigest[:], req.GetClaimsDigest())
	// The wire's number has 32 bits, the operation eight.
	if op := req.GetOperation(); op < podpb.Operation(provider.Create) || op > podpb.Operation(provider.DryRun) {
		faults = append(faults, status.Fault{Field: "operation", Got: req.GetOperation().String(), Want: "create, update or dry_run"})
	}
	if len(faults) > 0 {
		return r, status.Invalid("provision.request", "the request", faults)
	}
	return r, nil
}

// orderFromWire reads what was sealed.
func orderFromWire(b []byte) (provider.Order, error) {
	var w podpb.SealedProvision
	if err := proto.Unmarshal(b, &w); err != nil {
		return provider.Order{}, status.Wrap(err, status.InvalidArgument, "provision.sealed", "the sealed bytes are no SealedProvision")
	}
	o := provider.Order{
		Manifest: w.GetManifest(), Policy: w.GetPolicy(), OfferID: w.GetOfferId(), ReservationID: w.GetReservationId(),
		Payment: paymentFromWire(w.GetPayment()), ExpectedRevision: w.GetExpectedRevision(), PublisherPeer: w.GetPublisherPeer(),
		Keys: map[string][]byte{}, Secrets: map[string]map[string][]byte{},
	}
	var faults []status.Fault
	if len(w.GetImageKeys()) > maxKeys {
		faults = append(faults, status.Fault{Field: "image_keys", Got: fmt.Sprint(len(w.GetImageKeys())), Want: fmt.Sprintf("at most %d", maxKeys)})
	}
	if len(w.GetSecrets()) > maxSecrets {
		faults = append(faults, status.Fault{Field: "secrets", Got: fmt.Sprint(len(w.GetSecrets())), Want: fmt.Sprintf("at most %d", maxSecrets)})
	}
	for i, k := range w.GetImageKeys() {
		if _, twice := o.Keys[k.GetKeyId()]; twice || k.GetKeyId() == "" {
			faults = append(faults, status.Fault{Field: fmt.Sprintf("image_keys[%d].key_id", i), Got: fmt.Sprintf("%.64q", k.GetKeyId()), Want: "a name, once"})
		}
		o.Keys[k.GetKeyId()] = k.GetPkcs8()
	}
	for i, s := range w.GetSecrets() {
		files := o.Secrets[s.GetVolume()]
		if files == nil {
			files = map[string][]byte{}
			o.Secrets[s.GetVolume()] = files
		}
		if _, twice := files[s.GetFile()]; twice || !plainName(s.GetFile()) {
			faults = append(faults, status.Fault{Field: fmt.Sprintf("secrets[%d].file", i), Got: fmt.Sprintf("%.64q", s.GetFile()), Want: "a file name without a slash, once per volume"})
		}
		files[s.GetFile()] = s.GetData()
	}
	if len(faults) > 0 {
		return o, status.Invalid("provision.sealed", "the sealed request", faults)
	}
	return o, nil
}

// plainName accepts what is safe as the name of one file.
func plainName(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > 255 {
		return false
	}
	for _, r := range s {
		if r == '/' || r < 0x20 || r == 0x7f {
			return false
		}
	}
	return true
}

func paymentFromWire(p *podpb.Payment) offer.Payment {
	if p == nil {
		return offer.Payment{Scheme: "none"}
	}
	return offer.Payment{
		Scheme: p.GetScheme(), Chain: p.GetChain(), Contract: p.GetContract(), Payer: p.GetPayer(), Payee: p.GetPayee(),
		ChannelID: p.GetChannelId(), Asset: p.GetAsset(), Voucher: p.GetVoucher(),
	}
}

func bytesText(n int) string { return fmt.Sprintf("%d bytes", n) }
