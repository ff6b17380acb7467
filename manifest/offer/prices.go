package offer

import (
	"math/big"
	"strings"

	"apocryph/proto/status"
)

// Scheme names of payments.
const (
	SchemeNone       = "none"
	SchemeEVMChannel = "evm-channel"
)

// A month has 30 days, wherever a price is per month.
const (
	hourSeconds  = 3600
	monthSeconds = 30 * 24 * hourSeconds
)

const (
	// totalPlaces is how many decimals a total has at most.
	totalPlaces = 12
	// pricePlaces is how many decimals the price of a second has at most.
	pricePlaces = 24
	bytesPerGiB = 1 << 30
)

// The resources that have a price, and what one unit of each is. GPUs are
// "gpu/VENDOR" or "gpu/VENDOR/MODEL".
const (
	ResourceCPU       = "cpu"
	ResourceMemory    = "memory"
	ResourceEphemeral = "ephemeral-storage"
	ResourceVolume    = "volume"
	ResourceIP        = "ip"
	ResourcePort      = "port"
	gpuPrefix         = "gpu/"
)

// PriceList is what an operator charges. The zero value is free.
type PriceList struct {
	// Asset is a CAIP-19 asset or an ISO 4217 code; empty when free.
	Asset string
	// MinimumCharge is a decimal string in units of the asset, or empty.
	MinimumCharge string
	// Schemes are the payment schemes accepted.
	Schemes []string
	// Address is the CAIP-10 account that is paid; empty when there is none.
	Address string
	rates   []rate
}

// rate is an exact price.
type rate struct {
	resource, unit string
	perSecond      *big.Rat
}

// Free reports whether nothing costs anything.
func (l PriceList) Free() bool {
	for _, r := range l.rates {
		if r.perSecond.Sign() > 0 {
			return false
		}
	}
	minimum, ok := parseDecimal(l.MinimumCharge)
	return !ok || minimum.Sign() == 0
}

// Prices returns the list for an [Offer], rounded half up to 24 decimals, in
// the order of the file.
func (l PriceList) Prices() []Price {
	var out []Price
	for _, r := range l.rates {
		out = append(out, Price{Resource: r.resource, Unit: r.unit, PerUnitSecond: formatDecimal(r.perSecond, pricePlaces)})
	}
	return out
}

// Total returns what the needs cost in an hour, without the minimum charge: a
// decimal string in units of the asset, rounded half up to 12 decimals.
// Resources that this version gives no meaning to have no price; they are not
// offered either. The error is that of [Needs.Total], or resource_exhausted,
// capacity.gpu, for a GPU that a list with prices does not name.
func (l PriceList) Total(n Needs) (string, error) {
	t, err := n.Total()
	if err != nil {
		return "", err
	}
	if l.Free() {
		return "0", nil
	}
	sum := new(big.Rat)
	add := func(resource string, amount, perUnit uint64) {
		if r := l.find(resource); r != nil {
			units := new(big.Rat).SetFrac(new(big.Int).SetUint64(amount), new(big.Int).SetUint64(perUnit))
			sum.Add(sum, units.Mul(units, r))
		}
	}
	add(ResourceCPU, t.CPUMillis, 1000)
	add(ResourceMemory, t.MemoryBytes, bytesPerGiB)
	add(ResourceEphemeral, t.EphemeralBytes, bytesPerGiB)
	add(ResourceVolume, t.VolumeBytes, bytesPerGiB)
	add(ResourceIP, t.IPv4+t.IPv6, 1)
	add(ResourcePort, t.TCPPorts+t.UDPPorts, 1)
	for _, g := range t.GPUs {
		r := l.gpu(g)
		if r == nil {
			return "", status.New(status.ResourceExhausted, "capacity.gpu", "the provider has no price for GPU %s", strings.TrimSpace(g.Vendor+" "+g.Model))
		}
		count := new(big.Rat).SetUint64(uint64(g.Count))
		sum.Add(sum, count.Mul(count, r))
	}
	return formatDecimal(sum.Mul(sum, big.NewRat(hourSeconds, 1)), totalPlaces), nil
}

func (l PriceList) find(resource string) *big.Rat {
	for _, r := range l.rates {
		if strings.EqualFold(r.resource, resource) {
			return r.perSecond
		}
	}
	return nil
}

// gpu finds the price of the model, else of the vendor. Where no model is asked
// for and only models have prices, the dearest counts, since it may be given.
func (l PriceList) gpu(g GPU) *big.Rat {
	vendor := gpuPrefix + g.Vendor
	if r := l.find(vendor + "/" + g.Model); r != nil && g.Model != "" {
		return r
	}
	if r := l.find(vendor); r != nil || g.Model != "" {
		return r
	}
	var dearest *big.Rat
	for _, r := range l.rates {
		if model := strings.ToLower(r.resource); strings.HasPrefix(model, strings.ToLower(vendor)+"/") &&
			(dearest == nil || r.perSecond.Cmp(dearest) > 0) {
			dearest = r.perSecond
		}
	}
	return dearest
}
