package publisher

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
)

const (
	// searchTime is how long a deploy without a provider looks for one.
	searchTime = 10 * time.Second
	// maxCandidates bounds how many providers are attested for one deploy, and
	// maxParallel how many at once, against adverts made up by the thousand.
	maxCandidates = 32
	maxParallel   = 8
)

// choice is a provider that may take the app: attested, affirmed, with an offer.
type choice struct {
	attested *Attested
	// current is the app as it is deployed there, nil when it is not.
	current *App
	// reserved is set when the offer holds its resources already.
	reserved bool
}

// choose attests the providers that come into question, best first: the one
// asked for, else the app's current one, else whoever is cheapest.
func (s *Service) choose(ctx context.Context, req DeployRequest) ([]*choice, error) {
	needs := needsOf(req)
	t := req.Provider
	app, err := s.cfg.Apps.Get(ctx, req.Manifest.Name, targetID(t))
	var current *App
	switch {
	case err == nil:
		current = &app
		if t == nil || len(t.Addrs) == 0 {
			t = &app.Provider
		}
	case status.CodeOf(err) != status.NotFound:
		return nil, err
	}
	if t == nil {
		return s.cheapest(ctx, req, needs)
	}
	// A build may take longer than resources are held.
	needs.Reserve = !req.dry && req.Source == nil
	a, err := s.appraised(ctx, *t, req, &needs)
	if err != nil {
		return nil, err
	}
	return []*choice{{attested: a, current: current, reserved: needs.Reserve}}, nil
}

// needsOf are the needs of an app that may take the place of its old revision.
func needsOf(req DeployRequest) offer.Needs {
	n := offer.NeedsOf(req.Manifest)
	n.Replaces = req.Manifest.Name
	return n
}

func targetID(t *Target) ProviderID {
	if t == nil {
		return ""
	}
	return t.ID
}

// appraised attests one provider and returns it only when the policy accepts
// it, its offer included.
func (s *Service) appraised(ctx context.Context, t Target, req DeployRequest, needs *offer.Needs) (*Attested, error) {
	req.Report(Event{Event: "attest", Provider: string(t.ID)})
	a, err := s.Attest(ctx, t, req.Policy, attest.PurposeProvision, needs)
	if err != nil {
		return nil, err
	}
	req.Report(Event{Event: "verdict", Provider: string(t.ID), Text: policy.SummaryLine(a.Verdict)})
	if !a.Verdict.Affirmed {
		return nil, denied(a.Verdict)
	}
	if err := acceptable(req.Policy, *a.Offer); err != nil {
		return nil, err
	}
	return a, nil
}

// acceptable refuses an offer that falls short or costs more than the policy allows.
func acceptable(p *policy.Policy, o offer.Offer) error {
	if c := p.AppraiseOffer(o.TotalPerHour, o.Asset); !c.OK {
		return status.New(status.Untrusted, "offer.price", "the offer is not what the policy accepts: %s %s: got %s, want %s", c.Code, c.Name, orNone(c.Got), orNone(c.Want)).
			WithHint("raise offer.max_price_per_hour in the policy or choose another provider")
	}
	return o.Short()
}

// cheapest finds providers and returns those that pass, cheapest first.
func (s *Service) cheapest(ctx context.Context, req DeployRequest, needs offer.Needs) ([]*choice, error) {
	req.Report(Event{Event: "find", Text: "looking for providers"})
	found, err := s.Find(ctx, Query{RuntimeClass: req.Manifest.RuntimeClass})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, status.New(status.NotFound, "providers.none", "no provider was found").
			WithHint("name one with --provider, or a DHT node with --bootstrap")
	}
	var mu sync.Mutex // guards choices and refusals
	var choices []*choice
	var refusals []string
	var codes []status.Code
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	for _, c := range found {
		group.Go(func() error {
			a, err := s.appraised(gctx, c.Target, req, &needs)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				codes = append(codes, status.CodeOf(err))
				refusals = append(refusals, fmt.Sprintf("%s: %s", c.ID, status.Public(err).Detail))
				return nil
			}
			choices = append(choices, &choice{attested: a})
			return nil
		})
	}
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	if len(choices) == 0 {
		slices.Sort(refusals)
		return nil, status.New(classOf(codes), "providers.none_passes", "none of the %d providers found passes: %s", len(found), strings.Join(refusals, "; ")).
			WithHint("`publisher attest PROVIDER --explain` shows why")
	}
	slices.SortStableFunc(choices, func(a, b *choice) int { return price(a).Cmp(price(b)) })
	return choices, nil
}

// classOf is the class of a search in which every provider was refused: "no"
// where at least one said so, "not now" where one is full, else "don't know".
func classOf(codes []status.Code) status.Code {
	for _, c := range []status.Code{status.Untrusted, status.PermissionDenied, status.ResourceExhausted} {
		if slices.Contains(codes, c) {
			return c
		}
	}
	return status.Unavailable
}

// Find lists providers by their signed adverts, at most maxCandidates of them.
func (s *Service) Find(ctx context.Context, q Query) ([]Candidate, error) {
	search, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	var found []Candidate
	err := s.cfg.Finder.Find(search, q, func(c Candidate) {
		// The finder may have more on its way when it is stopped.
		if len(found) < maxCandidates {
			found = append(found, c)
		}
		if len(found) == maxCandidates {
			cancel()
		}
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(found) == 0 && err != nil && search.Err() == nil {
		return nil, fmt.Errorf("finding providers: %w", err)
	}
	return found, nil
}

// price is the total per hour. One that is no number counts as the highest.
func price(c *choice) *big.Rat {
	if r, ok := new(big.Rat).SetString(c.attested.Offer.TotalPerHour); ok {
		return r
	}
	return new(big.Rat).SetInt64(1 << 62)
}

// claimsMargin is how long claims must still be good for when an order is
// sealed to them: it has to arrive.
const claimsMargin = time.Minute

// renew attests a provider again where sealing the images took so long that its
// claims, the verdict, which a policy may let end earlier, or its reservation ended.
func (s *Service) renew(ctx context.Context, req DeployRequest, c *choice) error {
	now := s.cfg.Now()
	if now.Add(claimsMargin).Before(c.attested.Result.Claims.ExpiresAt) && now.Before(c.attested.Verdict.ExpiresAt) {
		c.reserved = c.reserved && now.Before(c.attested.Offer.NotAfter)
		return nil
	}
	needs := needsOf(req)
	needs.Reserve = true
	a, err := s.appraised(ctx, c.attested.Provider, req, &needs)
	if err != nil {
		return err
	}
	c.attested, c.reserved = a, true
	return nil
}

// reserve makes sure that the provider holds the resources for us.
func (s *Service) reserve(ctx context.Context, req DeployRequest, c *choice) (offer.Offer, error) {
	o := *c.attested.Offer
	if !c.reserved {
		needs := needsOf(req)
		needs.Reserve = true
		var err error
		if o, err = s.Quote(ctx, c.attested, needs); err != nil {
			return offer.Offer{}, err
		}
		if err := acceptable(req.Policy, o); err != nil {
			return offer.Offer{}, err
		}
	}
	req.Report(Event{Event: "quote", Provider: string(c.attested.Provider.ID), Text: priceText(o)})
	return o, nil
}

func priceText(o offer.Offer) string {
	if o.Asset == "" {
		return "free"
	}
	return o.TotalPerHour + " " + o.Asset + " per hour"
}
