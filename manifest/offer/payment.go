package offer

import (
	"slices"
	"strings"

	"apocryph/proto/status"
)

// maxVoucher bounds a voucher: a signed EIP-712 message is far smaller.
const maxVoucher = 4 << 10

// Payment says how a pod is paid for. All but Scheme is empty for "none".
type Payment struct {
	// Scheme is "none" or "evm-channel".
	Scheme string
	// Chain is CAIP-2. Contract, Payer and Payee are addresses of 20 bytes in
	// hex, with 0x, or CAIP-10 accounts on the same chain.
	Chain, Contract, Payer, Payee string
	// ChannelID is 32 bytes in hex, with 0x.
	ChannelID string
	// Asset is CAIP-19.
	Asset   string
	Voucher []byte
}

// CheckPayment looks at the form of a payment for a provider with these prices.
// Codes: permission_denied payment.required, for none where there are prices,
// or payment.scheme; invalid_argument payment.invalid, with all faults;
// unimplemented payment.evm_channel, for a channel that is right in form.
func CheckPayment(p Payment, list PriceList) error {
	switch p.Scheme {
	case SchemeNone:
		if !list.Free() {
			return status.New(status.PermissionDenied, "payment.required", "this provider has prices and does not take payment scheme none").
				WithHint("pay by %s, or choose a provider that is free", strings.Join(list.Schemes, " or "))
		}
		if p.Chain+p.Contract+p.Payer+p.Payee+p.ChannelID+p.Asset != "" || len(p.Voucher) > 0 {
			return status.Invalid("payment.invalid", "the payment", []status.Fault{{Field: "payment", Got: "a payment under scheme none", Want: "nothing beside the scheme"}})
		}
		return nil
	case SchemeEVMChannel:
		if faults := channelFaults(p, list); len(faults) > 0 {
			return status.Invalid("payment.invalid", "the payment", faults)
		}
		if !list.Free() && !slices.Contains(list.Schemes, p.Scheme) {
			return status.New(status.PermissionDenied, "payment.scheme", "this provider does not take payment scheme %s", p.Scheme)
		}
		return status.New(status.Unimplemented, "payment.evm_channel", "payment channels are not implemented yet").
			WithHint("choose a provider that is free")
	}
	return status.Invalid("payment.invalid", "the payment", []status.Fault{{Field: "payment.scheme", Got: shown(p.Scheme), Want: "none or evm-channel"}})
}

func channelFaults(p Payment, list PriceList) []status.Fault {
	var c checker
	if !isChain(p.Chain) || !strings.HasPrefix(p.Chain, "eip155:") {
		c.addf("payment.chain", shown(p.Chain), "%s", chainForm)
	}
	c.evm("payment.contract", p.Contract, p.Chain)
	c.evm("payment.payer", p.Payer, p.Chain)
	c.evm("payment.payee", p.Payee, p.Chain)
	c.matches("payment.channel_id", p.ChannelID, evmChannel, "0x and 64 hex digits")
	if !assetPattern.MatchString(p.Asset) || !strings.HasPrefix(p.Asset, p.Chain+"/") {
		c.addf("payment.asset", shown(p.Asset), "a CAIP-19 asset on the payment's chain")
	}
	if n := len(p.Voucher); n > maxVoucher {
		c.atMost("payment.voucher", uint64(n), maxVoucher)
	}
	if len(c.faults) > 0 {
		return c.faults
	}
	if list.Asset != "" && !strings.EqualFold(list.Asset, p.Asset) {
		c.addf("payment.asset", shown(p.Asset), "%s, as the offer says", list.Asset)
	}
	if list.Address != "" {
		chain, address := splitAccount(list.Address)
		_, payee := splitAccount(p.Payee)
		if chain != p.Chain || !strings.EqualFold(address, payee) {
			c.addf("payment.payee", shown(p.Payee), "%s, as the offer says", list.Address)
		}
	}
	return c.faults
}

// evm refuses what is neither an address nor an account on the chain.
func (c *checker) evm(field, s, chain string) {
	address, onChain := strings.CutPrefix(s, chain+":")
	if !onChain {
		address = s
	}
	c.matches(field, address, evmAddress, "0x and 40 hex digits, or a CAIP-10 account on the payment's chain")
}
