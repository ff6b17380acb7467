package policy

import (
	"fmt"

	"apocryph/attest"
)

// AppraiseOffer compares what an offer costs with the policy. perHour is a
// decimal number and asset what it is counted in, as the provider wrote them.
// A price of zero is within every limit, whatever its asset. A policy that
// has faults, or a price that is no number, fails.
func (p *Policy) AppraiseOffer(perHour, asset string) attest.Check {
	c := attest.Check{
		Code: CodeOffer, Name: "price", Anchor: attest.AnchorAgentAsserted,
		Got: fmt.Sprintf("%s %s per hour", quote(perHour), printable(asset)), Want: "a decimal number per hour",
	}
	if p == nil || len(p.faults()) > 0 {
		c.Code, c.Got, c.Want = CodePolicyInvalid, "a policy with faults", "a policy without faults"
		return c
	}
	cost, ok := amount(perHour)
	if !ok {
		return c
	}
	c.Got = fmt.Sprintf("%s %s per hour", perHour, printable(asset))
	if p.Offer == nil {
		c.OK, c.Want = true, "any price"
		return c
	}
	most, _ := amount(p.Offer.MaxPricePerHour)
	c.Want = fmt.Sprintf("at most %s %s per hour", p.Offer.MaxPricePerHour, p.Offer.Asset)
	c.Policy = p.where("offer.max_price_per_hour")
	switch {
	case cost.Sign() == 0:
		c.OK = true
	case asset != p.Offer.Asset:
		c.Policy = p.where("offer.asset")
	default:
		c.OK = cost.Cmp(most) <= 0
	}
	return c
}
