package inventory

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/provider"
)

// Quote answers what of the needs is available, and what they cost. With
// Reserve, and when all is available, they are held for the publisher until the
// offer ends. What falls short is no error but is said in the offer. Errors:
// invalid_argument for sums that overflow and, with Reserve, for a publisher that
// is no peer id; resource_exhausted "capacity.reservations" with a delay.
//
// What the pod that needs.Replaces names has counts as free.
func (i *Inventory) Quote(_ context.Context, publisher provider.PublisherID, needs offer.Needs) (offer.Offer, error) {
	id, err := peer.Decode(string(publisher))
	if err != nil {
		// A tenant of another front door: the offer is for looking at alone.
		if needs.Reserve {
			return offer.Offer{}, status.Wrap(err, status.InvalidArgument, "capacity.publisher", "the publisher is no peer id")
		}
		id = peer.ID(publisher)
	}
	totals, err := needs.Total()
	if err != nil {
		return offer.Offer{}, err
	}
	digest, err := offer.RequestDigest(needs)
	if err != nil {
		return offer.Offer{}, err
	}
	now := i.cfg.Now()
	o := offer.Offer{
		Provider: i.cfg.Provider, Publisher: []byte(id), ID: rand.Text(), RequestDigest: digest,
		NotAfter: now.Add(offerTime).Truncate(time.Millisecond),
		Asset:    i.cfg.Prices.Asset, Prices: i.cfg.Prices.Prices(), MinimumCharge: i.cfg.Prices.MinimumCharge,
		PaymentSchemes: i.cfg.Prices.Schemes, PaymentAddress: i.cfg.Prices.Address,
	}

	i.mu.Lock()
	defer i.mu.Unlock()
	var replaces provider.PodID
	if needs.Replaces != "" {
		replaces = provider.PodIDOf(publisher, needs.Replaces)
	}
	a := i.check(i.books(replaces, ""), needs, totals)
	if err := i.price(&o, &a, needs); err != nil {
		return offer.Offer{}, err
	}
	o.Resources, o.Available = a.resources, a.available()
	if needs.Reserve && o.Available {
		if err := i.mayReserve(publisher, now); err != nil {
			return offer.Offer{}, err
		}
		o.ReservationID = rand.Text()
		i.reservations[o.ReservationID] = reservation{a.charge, publisher, replaces, o.NotAfter}
	}
	return o, nil
}

// price fills in the total. GPUs without a price are not offered.
func (i *Inventory) price(o *offer.Offer, a *answer, needs offer.Needs) error {
	total, err := i.cfg.Prices.Total(needs)
	if status.ReasonOf(err) == "capacity.gpu" {
		a.add(offer.ResourceGPU, "a price", "none", status.Public(err).Detail)
		needs.Containers = withoutGPUs(needs.Containers)
		total, err = i.cfg.Prices.Total(needs)
	}
	o.TotalPerHour = total
	return err
}

func withoutGPUs(containers []offer.ContainerNeeds) []offer.ContainerNeeds {
	out := make([]offer.ContainerNeeds, len(containers))
	for n, c := range containers {
		out[n] = c
		out[n].GPUs = nil
	}
	return out
}

// mayReserve makes room for one more reservation: a publisher who holds enough
// loses its oldest, which a deploy that was broken off left. Ended ones are gone
// already.
func (i *Inventory) mayReserve(publisher provider.PublisherID, now time.Time) error {
	own, oldest, next := 0, "", offerTime
	for id, r := range i.reservations {
		next = min(next, r.expires.Sub(now))
		if r.publisher != publisher {
			continue
		}
		if own++; oldest == "" || r.expires.Before(i.reservations[oldest].expires) {
			oldest = id
		}
	}
	if own >= maxReservationsPerPublisher {
		delete(i.reservations, oldest)
	}
	if len(i.reservations) >= maxReservations {
		return status.New(status.ResourceExhausted, "capacity.reservations", "the provider holds as many reservations as it can").
			WithRetryAfter(next)
	}
	return nil
}

// Commit charges a pod for its needs, in place of what it was charged before,
// and uses up the publisher's reservation. One that is unknown, ended or
// another's is not used: then the pod needs free resources like any other. When
// something is short the error is resource_exhausted, its reason is "capacity."
// and the first such resource, its faults name all; nothing has changed then.
func (i *Inventory) Commit(_ context.Context, publisher provider.PublisherID, pod provider.PodID, needs offer.Needs, reservationID string) error {
	totals, err := needs.Total()
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if r, ok := i.reservations[reservationID]; !ok || r.publisher != publisher {
		reservationID = ""
	}
	a := i.check(i.books(pod, reservationID), needs, totals)
	if err := short(a); err != nil {
		return err
	}
	i.charges[pod] = a.charge
	delete(i.reservations, reservationID)
	return nil
}

func short(a answer) error {
	if a.available() {
		return nil
	}
	return offer.Short(a.resources)
}

// Release gives back what a pod is charged for. An unknown pod is no error.
func (i *Inventory) Release(pod provider.PodID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.charges, pod)
}

// Restore charges a pod that is there already, whether it fits or not. GPUs are
// chosen anew.
func (i *Inventory) Restore(pod provider.PodID, needs offer.Needs) {
	totals, err := needs.Total()
	if err != nil {
		return // an accepted manifest adds up, see [manifest.MaxReplicas] and its like
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	b := i.books(pod, "")
	c := chargeOf(needs, totals)
	c.gpus, _ = b.choose(i.cfg.Machine.GPUs, totals.GPUs)
	i.charges[pod] = c
}
