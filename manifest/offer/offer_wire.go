package offer

import (
	"fmt"
	"strings"
	"time"

	"apocryph/proto/capacitypb"
	"apocryph/proto/status"
)

// What an offer may hold. It comes from a provider, and is shown and kept.
const (
	// MaxBytes bounds an encoded offer.
	MaxBytes     = 64 << 10
	maxResources = 256
	maxPrices    = 256
	maxSchemes   = 8
	maxReason    = 512
	maxID        = 64
	maxPeer      = 64
	maxAccount   = 200
)

func (o Offer) toWire() *capacitypb.Offer {
	out := &capacitypb.Offer{
		ProviderPeer: o.Provider, PublisherPeer: o.Publisher, OfferId: o.ID, ReservationId: o.ReservationID,
		NotAfter: o.NotAfter.UnixMilli(), Available: o.Available, Asset: o.Asset,
		MinimumCharge: o.MinimumCharge, TotalPerHour: o.TotalPerHour,
		PaymentSchemes: o.PaymentSchemes, PaymentAddress: o.PaymentAddress, RequestDigest: o.RequestDigest[:],
	}
	for _, r := range o.Resources {
		out.Resources = append(out.Resources, &capacitypb.ResourceOffer{
			Resource: r.Resource, Requested: r.Requested, Available: r.Available, Offered: r.Offered, Reason: r.Reason,
		})
	}
	for _, p := range o.Prices {
		out.Prices = append(out.Prices, &capacitypb.ResourcePrice{Resource: p.Resource, Unit: p.Unit, PerUnitSecond: p.PerUnitSecond})
	}
	return out
}

func offerFromWire(in *capacitypb.Offer) Offer {
	out := Offer{
		Provider: in.GetProviderPeer(), Publisher: in.GetPublisherPeer(), ID: in.GetOfferId(), ReservationID: in.GetReservationId(),
		NotAfter: time.UnixMilli(in.GetNotAfter()).UTC(), Available: in.GetAvailable(), Asset: in.GetAsset(),
		MinimumCharge: in.GetMinimumCharge(), TotalPerHour: in.GetTotalPerHour(),
		PaymentSchemes: in.GetPaymentSchemes(), PaymentAddress: in.GetPaymentAddress(),
		RequestDigest: [32]byte(in.GetRequestDigest()),
	}
	for _, r := range in.GetResources() {
		out.Resources = append(out.Resources, ResourceOffer{
			Resource: r.GetResource(), Requested: r.GetRequested(), Available: r.GetAvailable(), Offered: r.GetOffered(), Reason: r.GetReason(),
		})
	}
	for _, p := range in.GetPrices() {
		out.Prices = append(out.Prices, Price{Resource: p.GetResource(), Unit: p.GetUnit(), PerUnitSecond: p.GetPerUnitSecond()})
	}
	return out
}

// offerFaults is what makes an offer invalid whenever it is looked at.
func offerFaults(w *capacitypb.Offer) []status.Fault {
	var c checker
	if n := len(w.GetProviderPeer()); n == 0 || n > maxPeer {
		c.addf("provider_peer", fmt.Sprintf("%d bytes", n), "from 1 to %d", maxPeer)
	}
	if n := len(w.GetPublisherPeer()); n == 0 || n > maxPeer {
		c.addf("publisher_peer", fmt.Sprintf("%d bytes", n), "from 1 to %d", maxPeer)
	}
	if n := len(w.GetRequestDigest()); n != 32 {
		c.addf("request_digest", fmt.Sprintf("%d bytes", n), "32")
	}
	if w.GetOfferId() == "" {
		c.addf("offer_id", "nothing", "a name for the offer")
	}
	c.text("offer_id", w.GetOfferId(), maxID)
	c.text("reservation_id", w.GetReservationId(), maxID)
	if ms := w.GetNotAfter(); ms <= 0 || ms > maxUnixMilli {
		c.addf("not_after", fmt.Sprint(ms), "a time in Unix milliseconds")
	}
	c.resources(w)
	c.terms(w)
	return c.faults
}

// maxUnixMilli is the end of the year 9999, the last that RFC 3339 can write.
const maxUnixMilli = 253402300799999

func (c *checker) resources(w *capacitypb.Offer) {
	if !c.count("resources", len(w.GetResources()), maxResources) {
		return
	}
	if len(w.GetResources()) == 0 {
		c.addf("resources", "nothing", "an answer for each resource")
	}
	all := true
	for i, r := range w.GetResources() {
		at := fmt.Sprintf("resources[%d]", i)
		if r.GetResource() == "" {
			c.addf(at+".resource", "nothing", "a name")
		}
		c.text(at+".resource", r.GetResource(), maxText)
		c.text(at+".requested", r.GetRequested(), maxText)
		c.text(at+".available", r.GetAvailable(), maxText)
		c.text(at+".reason", r.GetReason(), maxReason)
		if !r.GetOffered() && strings.TrimSpace(r.GetReason()) == "" {
			c.addf(at+".reason", "nothing", "why it falls short")
		}
		all = all && r.GetOffered()
	}
	if w.GetAvailable() != all {
		c.addf("available", fmt.Sprint(w.GetAvailable()), "%t, as the resources say", all)
	}
}

func (c *checker) terms(w *capacitypb.Offer) {
	if w.GetAsset() != "" && !isAsset(w.GetAsset()) {
		c.addf("asset", shown(w.GetAsset()), assetForm)
	}
	if w.GetPaymentAddress() != "" && !isAccount(w.GetPaymentAddress()) {
		c.addf("payment_address", shown(w.GetPaymentAddress()), accountForm)
	}
	if w.GetMinimumCharge() != "" {
		c.decimal("minimum_charge", w.GetMinimumCharge())
	}
	c.decimal("total_per_hour", w.GetTotalPerHour())
	for _, s := range []string{w.GetTotalPerHour(), w.GetMinimumCharge()} {
		if amount, ok := parseDecimal(s); ok && amount.Sign() > 0 && w.GetAsset() == "" {
			c.addf("asset", "nothing", "what %s is in", s)
		}
	}
	if c.count("prices", len(w.GetPrices()), maxPrices) {
		for i, p := range w.GetPrices() {
			at := fmt.Sprintf("prices[%d]", i)
			c.text(at+".resource", p.GetResource(), maxText)
			c.text(at+".unit", p.GetUnit(), maxText)
			c.decimal(at+".per_unit_second", p.GetPerUnitSecond())
		}
	}
	if c.count("payment_schemes", len(w.GetPaymentSchemes()), maxSchemes) {
		for i, s := range w.GetPaymentSchemes() {
			c.text(fmt.Sprintf("payment_schemes[%d]", i), s, maxID)
		}
	}
}

func (c *checker) decimal(field, s string) {
	if _, ok := parseDecimal(s); !ok {
		c.addf(field, shown(s), "a decimal number such as 0.25")
	}
}
