package offer

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

const testPrices = `
# What an hour costs.
asset: EUR
minimum_charge: 0.10
payment:
  schemes: [evm-channel]
  address: eip155:1:0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb
prices:
  cpu: 0.02/hour
  memory: 0.000001/second
  ephemeral-storage: 0.72/month
  volume: 1.44/month
  ip: 7.2/month
  port: 0/hour
  gpu: {nvidia: 1/hour, nvidia/H100 PCIe: 3/hour, amd/MI300X: 2/hour, amd/MI250: 1/hour}
`

func mustPrices(t testing.TB, text string) PriceList {
	t.Helper()
	l, err := ParsePriceList([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPrices(t *testing.T) {
	l := mustPrices(t, testPrices)
	if l.Free() || l.Asset != "EUR" || l.MinimumCharge != "0.10" || !cmp.Equal(l.Schemes, []string{"evm-channel"}) ||
		l.Address != "eip155:1:0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb" {
		t.Errorf("got %+v", l)
	}
	want := []Price{
		{"cpu", "core", "0.000005555555555555555556"},
		{"memory", "GiB", "0.000001"},
		{"ephemeral-storage", "GiB", "0.000000277777777777777778"},
		{"volume", "GiB", "0.000000555555555555555556"},
		{"ip", "address", "0.000002777777777777777778"},
		{"port", "port", "0"},
		{"gpu/nvidia", "GPU", "0.000277777777777777777778"},
		{"gpu/nvidia/H100 PCIe", "GPU", "0.000833333333333333333333"},
		{"gpu/amd/MI300X", "GPU", "0.000555555555555555555556"},
		{"gpu/amd/MI250", "GPU", "0.000277777777777777777778"},
	}
	if diff := cmp.Diff(want, l.Prices()); diff != "" {
		t.Error(diff)
	}
}

func TestPriceTotal(t *testing.T) {
	one := func(c ContainerNeeds) Needs { return Needs{Replicas: 1, Containers: []ContainerNeeds{c}} }
	tests := []struct {
		name string
		n    Needs
		want string
	}{
		{"nothing", Needs{Replicas: 1}, "0"},
		{"a core", one(ContainerNeeds{CPUMillis: 1000}), "0.02"},
		{"three replicas", Needs{Replicas: 3, Containers: []ContainerNeeds{{CPUMillis: 250}}}, "0.015"},
		{"memory", one(ContainerNeeds{MemoryBytes: 1 << 30}), "0.0036"},
		{"a byte", one(ContainerNeeds{MemoryBytes: 1}), "0.000000000003"},
		{"ephemeral", one(ContainerNeeds{EphemeralBytes: 10 << 30}), "0.01"},
		{"volume", Needs{Replicas: 1, Volumes: []VolumeNeeds{{"v", 5 << 30}}}, "0.01"},
		{"addresses and ports", Needs{Replicas: 1, ExternalIPs: []ExternalIPNeeds{{"v4", 1}, {"v6", 1}}, Ports: []PortNeeds{{"tcp", 0}}}, "0.02"},
		{"gpu of a vendor", one(ContainerNeeds{GPUs: []GPU{{Vendor: "nvidia", Count: 2}}}), "2"},
		{"gpu of a model", one(ContainerNeeds{GPUs: []GPU{{Vendor: "NVIDIA", Model: "h100 pcie", Count: 1}}}), "3"},
		{"gpu of another model", one(ContainerNeeds{GPUs: []GPU{{Vendor: "nvidia", Model: "T4", Count: 1}}}), "1"},
		{"dearest model", one(ContainerNeeds{GPUs: []GPU{{Vendor: "amd", Count: 1}}}), "2"},
		{"unknown resource", one(ContainerNeeds{Other: []OtherResource{{"example.com/fpga", "1"}}}), "0"},
	}
	for _, tt := range tests {
		got, err := mustPrices(t, testPrices).Total(tt.n)
		if got != tt.want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	if got, err := (PriceList{}).Total(testNeeds(t)); got != "0" || err != nil {
		t.Errorf("free: %s, %v", got, err)
	}
	l := mustPrices(t, testPrices)
	for _, g := range []GPU{{Vendor: "intel", Count: 1}, {Vendor: "amd", Model: "MI100", Count: 1}} {
		if got, err := l.Total(one(ContainerNeeds{GPUs: []GPU{g}})); got != "" || status.ReasonOf(err) != "capacity.gpu" {
			t.Errorf("%v: %s, %v", g, got, err)
		}
	}
	if _, err := l.Total(Needs{Replicas: 2, Containers: []ContainerNeeds{{CPUMillis: 1 << 63}}}); status.ReasonOf(err) != "capacity.overflow" {
		t.Error(err)
	}
}

// TestRounding: half a unit of the last place goes up, less goes down.
func TestRounding(t *testing.T) {
	for perHour, want := range map[string]string{
		"0.0000000000005": "0.000000000001", "0.00000000000049": "0", "1.0000000000015": "1.000000000002", "0.1": "0.1", "100": "100",
	} {
		l := mustPrices(t, strings.Replace(testPrices, "0.02/hour", perHour+"/hour", 1))
		got, err := l.Total(Needs{Replicas: 1, Containers: []ContainerNeeds{{CPUMillis: 1000}}})
		if got != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", perHour, got, err, want)
		}
	}
}

func TestFreePrices(t *testing.T) {
	l := mustPrices(t, "prices: {cpu: 0/hour, memory: 0.00/month}\n")
	if !l.Free() || !cmp.Equal(l.Schemes, []string{"none"}) || !(PriceList{}).Free() {
		t.Errorf("got %+v", l)
	}
	l = mustPrices(t, "asset: USD\nminimum_charge: 1\npayment: {schemes: [evm-channel], address: 'eip155:1:0x"+strings.Repeat("0", 40)+"'}\nprices: {cpu: 0/hour, memory: 0/hour}")
	if l.Free() {
		t.Error("a minimum charge is free")
	}
}

func TestPriceFaults(t *testing.T) {
	swap := func(old, with string) string { return strings.Replace(testPrices, old, with, 1) }
	tests := []struct{ name, text, want string }{
		{"empty", "", "file: got an empty file"},
		{"list", "[]", "file: got a list"},
		{"unknown field", testPrices + "currency: EUR\n", `unknown field "currency"`},
		{"near field", swap("  cpu:", "  cpus:"), `line 9: prices.cpus: got unknown field "cpus", did you mean "cpu"?`},
		{"no cpu", swap("  cpu: 0.02/hour\n", ""), "prices.cpu: got nothing, want a value: it is required"},
		{"no memory", swap("  memory: 0.000001/second\n", ""), "prices.memory: got nothing"},
		{"no prices", "asset: EUR\n", "prices: got nothing"},
		{"no unit", swap("0.02/hour", "0.02"), `prices.cpu: got "0.02", want a decimal number per second, hour or month`},
		{"unit", swap("0.02/hour", "0.02/week"), "prices.cpu: got"},
		{"no number", swap("0.02/hour", "/hour"), "prices.cpu: got"},
		{"negative", swap("0.02/hour", "-0.02/hour"), "prices.cpu: got"},
		{"exponent", swap("0.02/hour", "2e-2/hour"), "prices.cpu: got"},
		{"fraction", swap("0.02/hour", "1/3/hour"), "prices.cpu: got"},
		{"comma", swap("0.02/hour", "'0,02/hour'"), "prices.cpu: got"},
		{"long", swap("0.02/hour", "0."+strings.Repeat("1", 70)+"/hour"), "prices.cpu: got"},
		{"mapping", swap("0.02/hour", "{hour: 1}"), "prices.cpu: got a mapping"},
		{"null", swap("0.02/hour", "~"), "prices.cpu: got nothing"},
		{"twice", testPrices + "asset: USD\n", "asset: got a second time"},
		{"asset", swap("EUR", "euro"), `asset: got "euro", want a CAIP-19 asset`},
		{"no asset", swap("asset: EUR\n", ""), "asset: got nothing"},
		{"asset number", swap("EUR", "5"), "asset: got"},
		{"charge", swap("0.10", "little"), "minimum_charge: got"},
		{"charge list", swap("0.10", "[1]"), "minimum_charge: got a list"},
		{"address", swap("eip155:1:0xab16a", "eip155:1:0xzz"), "payment.address: got"},
		{"address without chain", swap("eip155:1:", ""), "payment.address: got"},
		{"no address", swap("  address: eip155:1:0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb\n", ""), "payment: got no payment address"},
		{"no scheme", swap("[evm-channel]", "[]"), "payment: got no payment scheme"},
		{"no payment", "asset: EUR\nprices: {cpu: 1/hour, memory: 1/hour}", "no payment scheme"},
		{"none", swap("[evm-channel]", "[none]"), "payment: got scheme none"},
		{"scheme", swap("[evm-channel]", "[cash]"), `payment.schemes[0]: got "cash"`},
		{"scheme twice", swap("[evm-channel]", "[evm-channel, evm-channel]"), "payment.schemes[1]: got"},
		{"scheme number", swap("[evm-channel]", "[5]"), "payment.schemes[0]: got"},
		{"gpu list", swap("{nvidia: 1/hour,", "[1] #"), "prices.gpu: got a list"},
		{"gpu vendor", swap("{nvidia:", "{NVidia:"), `got "NVidia", want VENDOR`},
		{"gpu model", swap("nvidia/H100 PCIe", "nvidia/"), `got "nvidia/", want VENDOR`},
		{"gpu twice", swap("amd/MI250", "amd/mi300x"), "a second time"},
		{"alias", "asset: &a EUR\nminimum_charge: *a\nprices: {cpu: 0/hour, memory: 0/hour}", "alias *a"},
		{"large", testPrices + "#" + strings.Repeat("x", maxPriceFile), "file: got"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := ParsePriceList([]byte(tt.text))
			var e *status.Error
			if !errors.As(err, &e) || e.Reason != "prices.invalid" || !l.Free() {
				t.Fatalf("got %+v, %v", l, err)
			}
			var lines []string
			for _, f := range e.Faults {
				lines = append(lines, f.String())
			}
			if all := strings.Join(lines, "\n"); !strings.Contains(all, tt.want) {
				t.Errorf("got %s, want %s", all, tt.want)
			}
		})
	}
	_, err := ParsePriceList([]byte("asset: euro\nprices: {cpu: 1, memory: 2}\npayments: {}\n"))
	var e *status.Error
	if !errors.As(err, &e) || len(e.Faults) != 4 {
		t.Errorf("not all faults at once: %v", err)
	}
}

func TestDecimals(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"0.1", "0.10", 0}, {"0.2", "0.19", 1}, {"9", "10", -1}} {
		if got, err := CompareDecimals(tt.a, tt.b); got != tt.want || err != nil {
			t.Errorf("%s and %s: %d, %v", tt.a, tt.b, got, err)
		}
	}
	for _, bad := range []string{"", "x", "1e3", "-1", "01", ".5", "1.", "NaN"} {
		if _, err := CompareDecimals("1", bad); status.ReasonOf(err) != "price.decimal" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if got := Decimal(big.NewRat(2, 3)); got != "0.666666666667" {
		t.Errorf("got %s", got)
	}
	if got := PerMonth("0.01"); got != "7.2" || PerMonth("x") != "" {
		t.Errorf("got %s", got)
	}
}

// FuzzParsePriceList: what is accepted has a total and can be offered.
func FuzzParsePriceList(f *testing.F) {
	f.Add(testPrices)
	f.Add("prices: {cpu: 0/hour, memory: 0/hour}")
	needs := Needs{Replicas: 2, Containers: []ContainerNeeds{{CPUMillis: 1, MemoryBytes: 1 << 40}}}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParsePriceList([]byte(text))
		if err != nil {
			return
		}
		o := testOffer()
		o.Asset, o.MinimumCharge, o.Prices = l.Asset, l.MinimumCharge, l.Prices()
		o.PaymentSchemes, o.PaymentAddress = l.Schemes, l.Address
		if o.TotalPerHour, err = l.Total(needs); err != nil {
			t.Fatal(err)
		}
		if _, err := Sign(o, testKey); err != nil {
			t.Fatal(err)
		}
	})
}
