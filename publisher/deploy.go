package publisher

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"apocryph/attest"
	"apocryph/attest/keyrelease"
	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

// settleTimeout bounds how long a provider is asked what came of a provision
// that ended in an error.
const settleTimeout = 10 * time.Second

// DeployRequest is one deploy.
type DeployRequest struct {
	// Manifest is a parsed manifest file, Dir the directory its paths start from.
	Manifest *manifest.Manifest
	Dir      string
	// Provider is who shall run it; empty leaves the choice to us.
	Provider *Target
	Policy   *policy.Policy
	// PolicyFile is the policy's bytes, which the provider appraises itself with;
	// PolicySignature and PolicyKey are as in [GivenPolicy].
	PolicyFile, PolicySignature []byte
	PolicyKey                   ed25519.PublicKey
	Payment                     offer.Payment
	// Platform is what images are chosen for, "linux/amd64".
	Platform string
	// Source is what the provider builds, for the containers whose image is [BuildRef];
	// nil where it builds nothing.
	Source *Source
	// Report is called for each step, from one goroutine at a time.
	Report func(Event)
	// dry is set where nothing is to be held for the app.
	dry bool
}

// Deployed is the outcome of a deploy.
type Deployed struct {
	App            App
	Verdict        attest.Verdict
	ManifestDigest manifest.Digest
	PricePerHour   string
	Asset          string
	// Built is nil where the provider built nothing.
	Built *BuiltFrom
	// Warnings are beside those of the verdict.
	Warnings []string
}

// Deploy does the main job: it seals the images while it finds and attests a
// provider, releases the sealed manifest to the attested key alone, and ends
// when the app answers. Deploying a name again updates it.
func (s *Service) Deploy(ctx context.Context, req DeployRequest) (*Deployed, error) {
	req.Report = serial(req.Report)
	if err := req.checkSource(); err != nil {
		return nil, err
	}
	warnings, err := req.checkBuilds()
	if err != nil {
		return nil, err
	}
	if err := s.CheckPolicy(ctx, req.Manifest.Name, req.given()); err != nil {
		return nil, err
	}
	secrets, err := ReadSecrets(req.Manifest, req.Dir)
	if err != nil {
		return nil, err
	}
	var sealed []*manifest.Sealed
	var choices []*choice
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		var err error
		sealed, err = s.sealImages(gctx, req)
		return err
	})
	group.Go(func() error {
		var err error
		choices, err = s.choose(gctx, req)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	order, err := s.pin(ctx, req, sealed, secrets)
	if err != nil {
		return nil, err
	}
	var refused []error
	for _, c := range choices {
		d, err := s.deployTo(ctx, req, c, order, sealed)
		if err == nil {
			d.Warnings = append(d.Warnings, warnings...)
			return d, nil
		}
		refused = append(refused, fmt.Errorf("provider %s: %w", c.attested.Provider.ID, err))
		// Another provider may take what this one has no room for. What the app
		// itself did wrong it would do there too, and an app that may be coming up
		// here must not run twice.
		if errors.As(err, new(*unsettledError)) {
			break
		}
		if code := status.CodeOf(err); ctx.Err() != nil || code != status.ResourceExhausted && code != status.Unavailable {
			break
		}
	}
	return nil, joinRefusals(refused)
}

func (r *DeployRequest) given() GivenPolicy {
	return GivenPolicy{Policy: r.Policy, File: r.PolicyFile, Signature: r.PolicySignature, Key: r.PolicyKey}
}

// pinned is an order and what it was made from.
type pinned struct {
	order    Order
	manifest *manifest.Manifest
	digest   manifest.Digest
}

// pin publishes the sealed images and writes their digests into the manifest.
func (s *Service) pin(ctx context.Context, req DeployRequest, sealed []*manifest.Sealed, secrets map[string]map[string][]byte) (*pinned, error) {
	m := *req.Manifest
	m.Containers = append([]manifest.Container(nil), req.Manifest.Containers...)
	keys := map[string][]byte{}
	for i, img := range sealed {
		if img == nil {
			continue // the provider makes it
		}
		name := m.Containers[i].Name
		cid, err := s.cfg.Content.Publish(ctx, img, func(done, total int64) {
			req.Report(Event{Event: "publish", Image: name, Done: done, Total: total})
		})
		if err != nil {
			return nil, fmt.Errorf("publishing the image of container %s: %w", name, err)
		}
		img.Image.CID = cid
		m.Containers[i].Image = img.Image
		if img.Image.KeyID != "" {
			keys[img.Image.KeyID] = img.Key
		}
		req.Report(Event{Event: "publish", Image: name, Final: true, Text: cid})
	}
	p := &pinned{
		manifest: &m,
		order:    Order{Keys: keys, Secrets: secrets, Policy: req.PolicyFile, Payment: req.Payment, PublisherPeer: s.cfg.Peer},
	}
	if req.Source != nil {
		return p, nil
	}
	return p, p.encode()
}

// encode writes the manifest, once all its images are known.
func (p *pinned) encode() error {
	b, err := manifest.Marshal(p.manifest)
	p.order.Manifest, p.digest = b, manifest.DigestOf(b)
	return err
}

// sealImages resolves and encrypts the image of every container. Containers
// with the same reference share one sealed image.
func (s *Service) sealImages(ctx context.Context, req DeployRequest) ([]*manifest.Sealed, error) {
	out := make([]*manifest.Sealed, len(req.Manifest.Containers))
	byRef := map[string]*manifest.Sealed{}
	for i, c := range req.Manifest.Containers {
		if have, ok := byRef[c.Image.Ref]; ok {
			out[i] = have
			continue
		}
		if req.builds(c) {
			continue
		}
		img, err := s.cfg.Resolver.Resolve(ctx, c.Image.Ref, req.Dir, req.Platform)
		if err != nil {
			return nil, fmt.Errorf("resolving the image of container %s: %w", c.Name, err)
		}
		req.Report(Event{Event: "resolve", Image: c.Name, Text: c.Image.Ref})
		sealed, err := s.cfg.Sealer.Seal(ctx, img, func(done, total int64) {
			req.Report(Event{Event: "seal", Image: c.Name, Done: done, Total: total})
		})
		if err != nil {
			return nil, fmt.Errorf("encrypting the image of container %s: %w", c.Name, err)
		}
		req.Report(Event{Event: "seal", Image: c.Name, Final: true, Text: sealed.Image.ImageID})
		byRef[c.Image.Ref], out[i] = sealed, sealed
	}
	return out, nil
}

// deployTo provisions at one provider.
func (s *Service) deployTo(ctx context.Context, req DeployRequest, c *choice, p *pinned, sealed []*manifest.Sealed) (_ *Deployed, err error) {
	var built *made
	sent := false
	if req.Source != nil {
		if built, err = s.build(ctx, req, c); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil && !sent {
				s.dropBuild(ctx, c.attested.Provider.ID, built.said.ID)
			}
		}()
		if p, err = p.with(req, built); err != nil {
			return nil, err
		}
	}
	if err := s.renew(ctx, req, c); err != nil {
		return nil, err
	}
	to := c.attested.Provider
	price, err := s.reserve(ctx, req, c)
	if err != nil {
		return nil, err
	}
	op, revision, err := s.operation(ctx, to.ID, p.manifest.Name)
	if err != nil {
		return nil, err
	}
	for _, img := range sealed {
		if img == nil {
			continue
		}
		if err := s.cfg.Content.Grant(ctx, img.Image.CID, to.ID); err != nil {
			return nil, fmt.Errorf("granting %s to the provider: %w", img.Image.CID, err)
		}
	}
	order := p.order
	order.OfferID, order.ReservationID, order.ExpectedRevision = price.ID, price.ReservationID, revision
	// Before anything is released under it: a crash now must not let an older one back.
	if err := s.UsePolicy(ctx, req.Manifest.Name, req.given()); err != nil {
		return nil, err
	}
	app := s.appOf(p, c, sealed, built)
	sent = true
	got, err := s.provision(ctx, req, c, op, order, &app)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(got.ManifestDigest, p.digest[:]) {
		return nil, status.New(status.Untrusted, "provision.digest", "the provider runs another manifest than the one sent")
	}
	app.Receipt = got.Receipt
	key, signed, err := s.checkReceipt(ctx, req.Policy, c.attested, p.runs(), got, revision)
	if err != nil {
		return nil, err
	}
	app.ReceiptKey = key
	var warnings []string
	if built != nil {
		warning, err := built.named(signed.Provenance)
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	if err := s.checkRelease(ctx, req, c.attested, app.Name, p.digest, got); err != nil {
		return nil, err
	}
	app.PodID, app.Revision, app.Endpoints, app.URL = got.PodID, got.Revision, got.Endpoints, firstURL(got.Endpoints)
	app.Pending, app.Updated = nil, s.cfg.Now()
	// Saved before the app answers: a deploy that is interrupted now can be looked at.
	if err := s.cfg.Apps.Save(ctx, app); err != nil {
		return nil, err
	}
	if err := s.awaitAnswer(ctx, got.Endpoints, c.attested.Result.Claims.IngressTLSKey, req.Report); err != nil {
		return nil, err
	}
	return &Deployed{App: app, Verdict: c.attested.Verdict, ManifestDigest: p.digest, PricePerHour: price.TotalPerHour, Asset: price.Asset, Built: built.from(), Warnings: warnings}, nil
}

// provision seals the order to the attested key, sends it and follows it.
func (s *Service) provision(ctx context.Context, req DeployRequest, c *choice, op Operation, order Order, app *App) (Provisioned, error) {
	a := c.attested
	plaintext, err := s.cfg.Codec.EncodeOrder(order)
	if err != nil {
		return Provisioned{}, err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Provisioned{}, fmt.Errorf("making a request id: %w", err)
	}
	enc, ciphertext, confirm, err := keyrelease.Seal(a.Result.Claims.HPKEPublicKey, a.ClaimsDigest, id, plaintext)
	if err != nil {
		return Provisioned{}, err
	}
	app.Pending = &Pending{RequestID: hex.EncodeToString(id[:]), Sent: s.cfg.Now()}
	if err := s.cfg.Apps.Save(ctx, *app); err != nil {
		return Provisioned{}, err
	}
	got, err := s.send(ctx, a.Provider, ProvisionRequest{RequestID: id, ClaimsDigest: a.ClaimsDigest, Operation: op, Enc: enc, Ciphertext: ciphertext}, req.Report)
	if err != nil {
		return Provisioned{}, s.settle(ctx, c, *app, order.ExpectedRevision, err)
	}
	return got, keyrelease.CheckConfirm(confirm, got.Confirm)
}

// sendTries is how often an order is sent whose stream breaks: a provider takes
// the same one again for a repetition, and answers for what came of the first.
const sendTries = 3

// send sends an order and follows it, over another stream where one breaks.
func (s *Service) send(ctx context.Context, to Target, order ProvisionRequest, report func(Event)) (Provisioned, error) {
	for try := 1; ; try++ {
		got, err := s.cfg.Providers.Provision(ctx, to.ID, order, func(p Progress) { report(provisionEvent(p)) })
		if status.ReasonOf(err) != "peer.lost" || try == sendTries || ctx.Err() != nil {
			return got, err
		}
		if _, connectErr := s.cfg.Connection.Connect(ctx, to); connectErr != nil {
			return got, err
		}
	}
}

func provisionEvent(p Progress) Event {
	return Event{
		Event: "provision", Stage: p.Stage, Done: int64(p.Done), Total: int64(p.Total), Rate: p.Rate, Source: p.Source,
		Final: p.Total > 0 && p.Done == p.Total,
	}
}

// unsettledError is the error of a provision of which nobody knows what came of it.
type unsettledError struct{ error }

func (e *unsettledError) Unwrap() error { return e.error }

// settle finds out what came of a provision that ended in an error and notes
// it: a refusal leaves what was deployed before, or nothing. It returns err, as
// an unsettledError where the provider does not say.
func (s *Service) settle(ctx context.Context, c *choice, app App, replaces uint64, err error) error {
	ask, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	have, askErr := s.cfg.Pods.PodStatus(ask, app.Provider.ID, app.Name)
	refused := status.CodeOf(askErr) == status.NotFound
	if askErr == nil && len(have) == 1 {
		// An update that was refused leaves the revision that it would have replaced.
		refused = have[0].State == "failed" || replaces > 0 && have[0].Revision == replaces
	}
	if !refused {
		return &unsettledError{err}
	}
	switch {
	case c.current != nil:
		return errors.Join(err, s.cfg.Apps.Save(ctx, *c.current))
	case status.CodeOf(err) == status.AppFailed:
		// The provider keeps its record for those who ask why.
		app.Pending = nil
		return errors.Join(err, s.cfg.Apps.Save(ctx, app))
	}
	return errors.Join(err, s.cfg.Apps.Delete(ctx, app.Name, app.Provider.ID))
}

// operation asks whether the provider has the pod already.
func (s *Service) operation(ctx context.Context, at ProviderID, name string) (Operation, uint64, error) {
	have, err := s.cfg.Pods.PodStatus(ctx, at, name)
	switch {
	case status.CodeOf(err) == status.NotFound:
		return Create, 0, nil
	case err != nil:
		return 0, 0, fmt.Errorf("asking for the pod's revision: %w", err)
	case len(have) == 1 && have[0].State == "failed":
		return Create, 0, nil
	case len(have) == 1:
		return Update, have[0].Revision, nil
	}
	return Create, 0, nil
}

func (s *Service) appOf(p *pinned, c *choice, sealed []*manifest.Sealed, built *made) App {
	now := s.cfg.Now()
	app := App{
		Name: p.manifest.Name, Provider: c.attested.Provider, ManifestDigest: p.digest.String(),
		Verdict: policy.SummaryLine(c.attested.Verdict), Created: now, Updated: now,
	}
	if c.current != nil {
		app.PodID, app.Revision, app.Created = c.current.PodID, c.current.Revision, c.current.Created
		app.Past = c.current.remembered()
	}
	for i, container := range p.manifest.Containers {
		img := container.Image
		image := AppImage{Container: container.Name, CID: img.CID, ImageID: img.ImageID, EncryptedDigest: img.EncryptedDigest, KeyID: img.KeyID}
		if from := built.from(); from != nil && sealed[i] == nil {
			image.Repository, image.Commit, image.Tree, image.Statement = from.Repository, from.Commit, from.Tree, from.Statement
		}
		app.Images = append(app.Images, image)
	}
	return app
}

func firstURL(endpoints []Endpoint) string {
	for _, e := range endpoints {
		if e.Protocol == manifest.HTTP {
			return e.URL
		}
	}
	if len(endpoints) > 0 {
		return endpoints[0].URL
	}
	return ""
}

// joinRefusals is the error of a deploy that no provider took. The last one
// decides its class, for it is the last resort, and says most about the app.
func joinRefusals(refused []error) error {
	if len(refused) == 1 {
		return errors.Unwrap(refused[0])
	}
	last := status.Public(refused[len(refused)-1])
	e := status.Wrap(errors.Join(refused...), last.Code, "deploy.refused", "no provider took the app; the last one said: %s", last.Detail).
		WithHint("`publisher providers` lists who is there")
	e.Faults, e.Log = last.Faults, last.Log
	return e
}

// serial makes report safe to be called by several goroutines; nil reports nothing.
func serial(report func(Event)) func(Event) {
	if report == nil {
		return func(Event) {}
	}
	lock := make(chan struct{}, 1)
	return func(e Event) {
		lock <- struct{}{}
		defer func() { <-lock }()
		report(e)
	}
}
