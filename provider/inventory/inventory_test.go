package inventory

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	alice = provider.PublisherID("12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5")
	bob   = provider.PublisherID("12D3KooWNvSZnPi3RrhrTwEY4LuuBeB6K6facKUCJcyWG1aoDd2p")
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func testMachine() Machine {
	return Machine{
		CPUMillis: 4000, CPUModel: "AMD EPYC 7763", MemoryBytes: 10 << 30, DiskBytes: 100 << 30,
		GPUs:      []GPU{{"nvidia", "NVIDIA A100", 80 << 30}, {"nvidia", "NVIDIA T4", 16 << 30}, {"amd", "MI50", 16 << 30}},
		Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7")},
	}
}

func testConfig() Config {
	c := &clock{now: time.Date(2025, 6, 1, 12, 0, 0, 123456, time.UTC)}
	return Config{
		Machine: testMachine(), RuntimeClasses: []string{"runc", "gvisor"}, Provider: []byte("provider"),
		Ports: [2]uint16{30000, 30009}, GPUs: true, Keep: Keep{CPU: 50, Memory: 20, Disk: 90}, Now: c.Now,
	}
}

func newInventory(t *testing.T, change func(*Config)) *Inventory {
	t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	i, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// needs is one container with a core and a GiB.
func needs(change func(*offer.Needs)) offer.Needs {
	n := offer.Needs{
		Containers: []offer.ContainerNeeds{{Name: "web", CPUMillis: 1000, MemoryBytes: 1 << 30}}, Replicas: 1, RuntimeClass: "runc",
	}
	if change != nil {
		change(&n)
	}
	return n
}

// quote checks also that the offer is one that can be signed and opened.
func quote(t *testing.T, i *Inventory, publisher provider.PublisherID, n offer.Needs) offer.Offer {
	t.Helper()
	o, err := i.Quote(t.Context(), publisher, n)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := offer.Sign(o, private)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := offer.Open(signed, public, i.cfg.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.Decode(string(publisher))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := offer.RequestDigest(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Matches(i.cfg.Provider, []byte(id), digest); err != nil {
		t.Fatal(err)
	}
	return o
}

func line1(o offer.Offer, resource string) string {
	for _, r := range o.Resources {
		if r.Resource == resource {
			return fmt.Sprintf("%s/%s %v %s", r.Requested, r.Available, r.Offered, r.Reason)
		}
	}
	return "missing"
}

func wantShort(t *testing.T, err error, reason string, fields ...string) {
	t.Helper()
	var e *status.Error
	if !errors.As(err, &e) || e.Code != status.ResourceExhausted || e.Reason != reason {
		t.Fatalf("got %v, want resource_exhausted %s", err, reason)
	}
	var got []string
	for _, f := range e.Faults {
		got = append(got, f.Field)
		if f.Got == "" || f.Want == "" {
			t.Errorf("fault %+v lacks got or want", f)
		}
	}
	if diff := cmp.Diff(fields, got); diff != "" {
		t.Errorf("short resources (-want +got):\n%s", diff)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no provider": func(c *Config) { c.Provider = nil },
		"no ports":    func(c *Config) { c.Ports = [2]uint16{} },
		"ports":       func(c *Config) { c.Ports = [2]uint16{2, 1} },
		"keep all":    func(c *Config) { c.Keep.Memory = 100 },
	} {
		cfg := testConfig()
		change(&cfg)
		if _, err := New(cfg); status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestQuote(t *testing.T) {
	gpu := func(g offer.GPU) func(*offer.Needs) {
		return func(n *offer.Needs) { n.Containers[0].GPUs = []offer.GPU{g} }
	}
	for _, tc := range []struct {
		name, resource, want string
		change               func(*offer.Needs)
	}{
		{"cpu", "cpu", "1/2 true ", nil},
		{"cpu short", "cpu", "3/2 false 3 of cpu asked for, 2 free", func(n *offer.Needs) { n.Replicas = 3 }},
		{"memory", "memory", "1Gi/8Gi true ", nil},
		{"memory short", "memory", "9Gi/8Gi false 9Gi of memory asked for, 8Gi free", func(n *offer.Needs) { n.Containers[0].MemoryBytes = 9 << 30 }},
		{"no ephemeral", "ephemeral-storage", "missing", nil},
		{"ephemeral", "ephemeral-storage", "10Gi/10Gi true ", func(n *offer.Needs) { n.Containers[0].EphemeralBytes = 10 << 30 }},
		{"volume beside ephemeral", "volume", "6Gi/5Gi false 6Gi of volume asked for, 5Gi free", func(n *offer.Needs) {
			n.Containers[0].EphemeralBytes = 5 << 30
			n.Volumes = []offer.VolumeNeeds{{Name: "data", Bytes: 6 << 30}}
		}},
		{"gpu of a vendor", "gpu/nvidia", "2/2 true ", gpu(offer.GPU{Vendor: "nvidia", Count: 2})},
		{"gpu model", "gpu/nvidia/a100", "1/1 true ", gpu(offer.GPU{Vendor: "nvidia", Model: "a100", Count: 1})},
		{"gpu short", "gpu/nvidia/a100", "2/1 false 2 asked for, 1 free that fit", gpu(offer.GPU{Vendor: "nvidia", Model: "a100", Count: 2})},
		{"gpu memory", "gpu/nvidia", "2/1 false 2 asked for, 1 free that fit with 40Gi", gpu(offer.GPU{Vendor: "nvidia", Count: 2, MemoryBytes: 40 << 30})},
		{"gpu vendor unknown", "gpu/intel", "1/0 false 1 asked for, 0 free that fit", gpu(offer.GPU{Vendor: "intel", Count: 1})},
		{"ports", "port", "2 tcp/10 tcp true ", func(n *offer.Needs) {
			n.Ports = []offer.PortNeeds{{Protocol: "tcp", Port: 0}, {Protocol: "tcp", Port: 30009}}
		}},
		{"port out of range", "port", "1 udp/10 udp false port 80 is not within 30000-30009", func(n *offer.Needs) { n.Ports = []offer.PortNeeds{{Protocol: "udp", Port: 80}} }},
		{"ports short", "port", "11 tcp/10 tcp false 11 tcp ports asked for, 10 free", func(n *offer.Needs) { n.Ports = make11() }},
		{"address", "ip", "1 v4/1 v4 true ", func(n *offer.Needs) { n.ExternalIPs = []offer.ExternalIPNeeds{{Family: "v4", Count: 1}} }},
		{"addresses short", "ip", "2 v6/1 v6 false this machine has 1 external v6 addresses", func(n *offer.Needs) { n.ExternalIPs = []offer.ExternalIPNeeds{{Family: "v6", Count: 2}} }},
		{"class", "runtime-class", "gvisor/runc, gvisor true ", func(n *offer.Needs) { n.RuntimeClass = "gvisor" }},
		{"class unknown", "runtime-class", "kata/runc, gvisor false this provider has no runtime class \"kata\"", func(n *offer.Needs) { n.RuntimeClass = "kata" }},
		{"model", "cpu-model", "xeon, epyc/AMD EPYC 7763 true ", func(n *offer.Needs) { n.CPUModels = []string{"xeon", "epyc"} }},
		{"model short", "cpu-model", "xeon/AMD EPYC 7763 false the CPU is another one", func(n *offer.Needs) { n.CPUModels = []string{"xeon"} }},
		{"empty model", "cpu-model", "/AMD EPYC 7763 false the CPU is another one", func(n *offer.Needs) { n.CPUModels = []string{""} }},
		{"unknown", "example.com/fpga", "2048/0 false this provider knows no such resource", func(n *offer.Needs) {
			n.Containers[0].Other = []offer.OtherResource{{Name: "example.com/fpga", Quantity: "2Ki"}}
		}},
		{"none of an unknown", "example.com/fpga", "0/0 false this provider knows no such resource", func(n *offer.Needs) {
			n.Containers[0].Other = []offer.OtherResource{{Name: "example.com/fpga", Quantity: "0"}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := newInventory(t, nil)
			o := quote(t, i, alice, needs(tc.change))
			if got := line1(o, tc.resource); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if want := !strings.Contains(tc.want, "false"); o.Available != want {
				t.Errorf("available %v, want %v: %+v", o.Available, want, o.Resources)
			}
			if o.ReservationID != "" || len(i.reservations) != 0 {
				t.Error("reserved without being asked")
			}
			if err := i.Commit(t.Context(), alice, "pod", needs(tc.change), ""); (err == nil) != o.Available {
				t.Errorf("commit says %v, the offer %v", err, o.Available)
			}
		})
	}
}

func make11() []offer.PortNeeds {
	ports := make([]offer.PortNeeds, 11)
	for n := range ports {
		ports[n].Protocol = "tcp"
	}
	return ports
}

func TestQuoteWithoutGPURuntime(t *testing.T) {
	i := newInventory(t, func(c *Config) { c.GPUs = false })
	n := needs(func(n *offer.Needs) { n.Containers[0].GPUs = []offer.GPU{{Vendor: "nvidia", Count: 1}} })
	if got, want := line1(quote(t, i, alice, n), "gpu/nvidia"), "1/0 false the runtime of this provider gives no GPUs to pods"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if i.Free().GPUs != 0 {
		t.Error("GPUs are advertised")
	}
	wantShort(t, i.Commit(t.Context(), alice, "pod", n, ""), "capacity.gpu", "gpu/nvidia")
}

// A request that names hundreds of things still gets a valid offer.
func TestQuoteOfManyResources(t *testing.T) {
	n := needs(func(n *offer.Needs) {
		for k := range 300 {
			n.Containers[0].Other = append(n.Containers[0].Other, offer.OtherResource{Name: fmt.Sprintf("example.com/r%d", k), Quantity: "1"})
		}
	})
	o := quote(t, newInventory(t, nil), alice, n)
	if len(o.Resources) != maxLines+1 || o.Available || line1(o, "more") == "missing" {
		t.Errorf("%d resources, available %v", len(o.Resources), o.Available)
	}
}

func TestQuoteRefuses(t *testing.T) {
	i := newInventory(t, nil)
	reserve := needs(nil)
	reserve.Reserve = true
	if _, err := i.Quote(t.Context(), "ns:team", reserve); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("publisher: %v", err)
	}
	huge := needs(func(n *offer.Needs) { n.Containers[0].MemoryBytes, n.Replicas = 1<<63, 2 })
	if _, err := i.Quote(t.Context(), alice, huge); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("overflow: %v", err)
	}
	if err := i.Commit(t.Context(), alice, "pod", huge, ""); status.CodeOf(err) != status.InvalidArgument {
		t.Errorf("overflow in commit: %v", err)
	}
	i.Restore("pod", huge)
	if len(i.charges) != 0 {
		t.Error("an overflow was charged")
	}
}

// TestQuoteForATenant of a front door that knows no peers: a price, and nothing held.
func TestQuoteForATenant(t *testing.T) {
	i := newInventory(t, nil)
	o, err := i.Quote(t.Context(), "ns:team", needs(nil))
	if err != nil || !o.Available || string(o.Publisher) != "ns:team" || o.ReservationID != "" || len(i.reservations) != 0 {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestPrices(t *testing.T) {
	prices, err := offer.ParsePriceList([]byte(priceFile))
	if err != nil {
		t.Fatal(err)
	}
	i := newInventory(t, func(c *Config) { c.Prices = prices })
	o := quote(t, i, alice, needs(func(n *offer.Needs) { n.Replicas = 2 }))
	if o.TotalPerHour != "0.06" || o.Asset != "EUR" || len(o.Prices) != 2 || o.MinimumCharge != prices.MinimumCharge || !o.Available {
		t.Errorf("offer %+v", o)
	}
	// A GPU that the list does not name has no price, so it is not offered.
	o = quote(t, i, alice, needs(func(n *offer.Needs) { n.Containers[0].GPUs = []offer.GPU{{Vendor: "nvidia", Count: 1}} }))
	if o.Available || !strings.Contains(line1(o, "gpu"), "no price") || o.TotalPerHour != "0.03" {
		t.Errorf("offer %+v", o)
	}
}

func TestFreeIsCoarse(t *testing.T) {
	i := newInventory(t, func(c *Config) { c.Keep = Keep{}; c.Machine.DiskBytes = 1000 << 30 })
	small := needs(func(n *offer.Needs) { n.Containers[0].CPUMillis, n.Containers[0].MemoryBytes = 1, 1<<20 })
	if err := i.Commit(t.Context(), alice, "pod", small, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Free{CPUMillis: 3000, MemoryBytes: 8 << 30, DiskBytes: 900 << 30, GPUs: 3}, i.Free()); diff != "" {
		t.Errorf("free (-want +got):\n%s", diff)
	}
}

const priceFile = `
asset: EUR
minimum_charge: 0.10
payment: {schemes: [evm-channel], address: "eip155:1:0xab16a96D359eC26a11e2C2b3d8f8B8942d5Bfcdb"}
prices: {cpu: 0.02/hour, memory: 0.01/hour}
`

// TestQuoteForAnUpdate: a pod that fills the machine can be deployed again, and
// the reservation for that takes nothing from others.
func TestQuoteForAnUpdate(t *testing.T) {
	i := newInventory(t, nil)
	big := needs(func(n *offer.Needs) { n.Containers[0].MemoryBytes = i.total.memory * 3 / 4 })
	if err := i.Commit(t.Context(), alice, provider.PodIDOf(alice, "shop"), big, ""); err != nil {
		t.Fatal(err)
	}
	if o := quote(t, i, alice, big); o.Available {
		t.Error("another pod of that size fits beside the first")
	}
	big.Replaces, big.Reserve = "shop", true
	o := quote(t, i, alice, big)
	if !o.Available {
		t.Fatalf("an update of the same size is refused: %v", o.Resources)
	}
	small := needs(func(n *offer.Needs) { n.Containers[0].MemoryBytes = i.total.memory / 8 })
	if o := quote(t, i, bob, small); !o.Available {
		t.Errorf("the reservation for an update holds the memory twice: %v", o.Resources)
	}
	big.Reserve = false
	if o := quote(t, i, bob, big); o.Available {
		t.Error("a foreign pod's memory counts as free")
	}
	if err := i.Commit(t.Context(), alice, provider.PodIDOf(alice, "shop"), big, o.ReservationID); err != nil {
		t.Error(err)
	}
}
