package offer

import (
	"errors"
	"strings"
	"testing"

	"apocryph/proto/status"
)

func testPayment() Payment {
	hex := strings.Repeat("ab", 20)
	return Payment{
		Scheme: SchemeEVMChannel, Chain: "eip155:1", Contract: "0x" + hex, Payer: "eip155:1:0x" + hex,
		Payee: "0xAB16A96D359EC26A11E2C2B3D8F8B8942D5BFCDB", ChannelID: "0x" + strings.Repeat("01", 32),
		Asset: "eip155:1/erc20:0x" + hex, Voucher: []byte("voucher"),
	}
}

func TestCheckPayment(t *testing.T) {
	priced := mustPrices(t, strings.Replace(testPrices, "EUR", testPayment().Asset, 1))
	if err := CheckPayment(Payment{Scheme: SchemeNone}, PriceList{}); err != nil {
		t.Error(err)
	}
	other := priced
	other.Schemes = []string{"cash"}
	tests := []struct {
		name, reason, want string
		code               status.Code
		list               PriceList
		change             func(*Payment)
	}{
		{"right", "payment.evm_channel", "not implemented", status.Unimplemented, priced, func(*Payment) {}},
		{"right and free", "payment.evm_channel", "not implemented", status.Unimplemented, PriceList{}, func(*Payment) {}},
		{"none", "payment.required", "has prices", status.PermissionDenied, priced, func(p *Payment) { *p = Payment{Scheme: SchemeNone} }},
		{"none with payment", "payment.invalid", "a payment under scheme none", status.InvalidArgument, PriceList{}, func(p *Payment) { p.Scheme = SchemeNone }},
		{"none with voucher", "payment.invalid", "under scheme none", status.InvalidArgument, PriceList{}, func(p *Payment) { *p = Payment{Scheme: SchemeNone, Voucher: []byte{1}} }},
		{"no scheme", "payment.invalid", "payment.scheme: got \"\"", status.InvalidArgument, PriceList{}, func(p *Payment) { p.Scheme = "" }},
		{"scheme not taken", "payment.scheme", "does not take", status.PermissionDenied, other, func(*Payment) {}},
		{"chain", "payment.invalid", "payment.chain", status.InvalidArgument, priced, func(p *Payment) { p.Chain = "1" }},
		{"other chain", "payment.invalid", "payment.chain", status.InvalidArgument, PriceList{}, func(p *Payment) { p.Chain = "cosmos:hub" }},
		{"contract", "payment.invalid", "payment.contract", status.InvalidArgument, priced, func(p *Payment) { p.Contract = "" }},
		{"payer on another chain", "payment.invalid", "payment.payer", status.InvalidArgument, priced, func(p *Payment) { p.Payer = strings.Replace(p.Payer, ":1:", ":2:", 1) }},
		{"payer too short", "payment.invalid", "payment.payer", status.InvalidArgument, priced, func(p *Payment) { p.Payer = "0x12" }},
		{"payee", "payment.invalid", "payment.payee", status.InvalidArgument, priced, func(p *Payment) { p.Payee = p.Contract }},
		{"payee form", "payment.invalid", "payment.payee", status.InvalidArgument, priced, func(p *Payment) { p.Payee = "me" }},
		{"payee on another chain", "payment.invalid", "payment.payee", status.InvalidArgument, PriceList{Address: "eip155:2:" + testPayment().Payee}, func(*Payment) {}},
		{"channel", "payment.invalid", "payment.channel_id", status.InvalidArgument, priced, func(p *Payment) { p.ChannelID = p.Contract }},
		{"asset", "payment.invalid", "payment.asset", status.InvalidArgument, priced, func(p *Payment) { p.Asset = "EUR" }},
		{"asset of another chain", "payment.invalid", "payment.asset", status.InvalidArgument, priced, func(p *Payment) { p.Asset = "eip155:2/slip44:60" }},
		{"another asset", "payment.invalid", "as the offer says", status.InvalidArgument, priced, func(p *Payment) { p.Asset = "eip155:1/slip44:60" }},
		{"voucher", "payment.invalid", "payment.voucher", status.InvalidArgument, priced, func(p *Payment) { p.Voucher = make([]byte, maxVoucher+1) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := testPayment()
			tt.change(&p)
			err := CheckPayment(p, tt.list)
			var e *status.Error
			if !errors.As(err, &e) || e.Code != tt.code || e.Reason != tt.reason {
				t.Fatalf("got %v", err)
			}
			text := e.Detail
			for _, f := range e.Faults {
				text += "\n" + f.String()
			}
			if !strings.Contains(text, tt.want) {
				t.Errorf("got %s, want %s", text, tt.want)
			}
		})
	}
	var e *status.Error
	if err := CheckPayment(Payment{Scheme: SchemeEVMChannel}, priced); !errors.As(err, &e) || len(e.Faults) != 6 {
		t.Errorf("not all faults at once: %v", err)
	}
}
