package offer

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"apocryph/manifest"
	"apocryph/proto/capacitypb"
	"apocryph/proto/status"
)

const testManifest = `
name: shop
replicas: 3
containers:
  - name: web
    image: oci:web
    port: 8080
    ports: ["123:321", 53/udp]
    resources: {cpu: 250m, memory: 64Mi, ephemeral-storage: 1Gi, nvidia.com/gpu: 2, example.com/fpga: 4}
    volumes:
      - {path: /tmp, type: emptyDir, size: 1Gi}
      - {path: /keys, type: secret, source: keys}
  - {name: db, image: oci:db, resources: {cpu: 2, memory: 1Gi, nvidia.com/gpu: 1, amd.com/gpu: 1, example.com/fpga: 1}}
volumes:
  - {name: data, type: persistent, size: 2Gi}
`

func testNeeds(t testing.TB) Needs {
	t.Helper()
	m, err := manifest.ParseFile([]byte(testManifest))
	if err != nil {
		t.Fatal(err)
	}
	return NeedsOf(m)
}

func TestNeedsOf(t *testing.T) {
	want := Needs{
		Containers: []ContainerNeeds{
			{
				Name: "web", CPUMillis: 250, MemoryBytes: 64 << 20, EphemeralBytes: 1 << 30,
				GPUs: []GPU{{Vendor: "nvidia", Count: 2}}, Other: []OtherResource{{"example.com/fpga", "4"}},
			},
			{
				Name: "db", CPUMillis: 2000, MemoryBytes: 1 << 30,
				GPUs: []GPU{{Vendor: "amd", Count: 1}, {Vendor: "nvidia", Count: 1}}, Other: []OtherResource{{"example.com/fpga", "1"}},
			},
		},
		Volumes:  []VolumeNeeds{{"data", 2 << 30}, {"web-0", 1 << 30}},
		Replicas: 3, RuntimeClass: "runc",
		Ports: []PortNeeds{{"tcp", 123}, {"udp", 0}},
	}
	if diff := cmp.Diff(want, testNeeds(t)); diff != "" {
		t.Error(diff)
	}
}

func TestTotal(t *testing.T) {
	n := testNeeds(t)
	n.ExternalIPs = []ExternalIPNeeds{{"v4", 1}, {"v6", 2}, {"v4", 3}}
	got, err := n.Total()
	want := Totals{
		CPUMillis: 6750, MemoryBytes: 3 * (64<<20 + 1<<30), EphemeralBytes: 3 << 30, VolumeBytes: 9 << 30,
		GPUs:  []GPU{{Vendor: "nvidia", Count: 9}, {Vendor: "amd", Count: 3}},
		Other: []OtherTotal{{"example.com/fpga", 15}}, TCPPorts: 1, UDPPorts: 1, IPv4: 4, IPv6: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestTotalFaults(t *testing.T) {
	for name, n := range map[string]Needs{
		"product":  {Replicas: 2, Containers: []ContainerNeeds{{CPUMillis: math.MaxUint64}}},
		"sum":      {Replicas: 1, Containers: []ContainerNeeds{{MemoryBytes: math.MaxUint64}, {MemoryBytes: 1}}},
		"volumes":  {Replicas: 1, Volumes: []VolumeNeeds{{Bytes: math.MaxUint64}, {Bytes: 1}}},
		"gpus":     {Replicas: 2, Containers: []ContainerNeeds{{GPUs: []GPU{{Vendor: "nvidia", Count: math.MaxUint32}}}}},
		"gpus sum": {Replicas: 1, Containers: []ContainerNeeds{{GPUs: []GPU{{Vendor: "a", Count: math.MaxUint32}, {Vendor: "a", Count: 1}}}}},
		"other":    {Replicas: 2, Containers: []ContainerNeeds{{Other: []OtherResource{{"a", "18446744073709551615"}}}}},
	} {
		if got, err := n.Total(); status.ReasonOf(err) != "capacity.overflow" || !cmp.Equal(got, Totals{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	n := Needs{Replicas: 1, Containers: []ContainerNeeds{{Other: []OtherResource{{"a", "many"}}}}}
	if _, err := n.Total(); status.ReasonOf(err) != "capacity.invalid" {
		t.Error(err)
	}
}

func TestNeedsWire(t *testing.T) {
	n := testNeeds(t)
	n.ExternalIPs = []ExternalIPNeeds{{"v6", 1}}
	n.CPUModels = []string{"AMD EPYC 9654"}
	n.Duration, n.Reserve = time.Hour, true
	n.Containers[0].GPUs[0].Model, n.Containers[0].GPUs[0].MemoryBytes = "H100", 80<<30
	got, err := NeedsFromWire(n.ToWire())
	if diff := cmp.Diff(n, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	a, errA := RequestDigest(n)
	b, errB := RequestDigest(got)
	if a != b || errA != nil || errB != nil || a == [32]byte{} {
		t.Errorf("digests %x, %x, %v, %v", a, b, errA, errB)
	}
	got.Reserve = false
	if c, _ := RequestDigest(got); c == a {
		t.Error("another request has the same digest")
	}
	got.RuntimeClass = "\xff"
	if _, err := RequestDigest(got); err == nil {
		t.Error("text that is not UTF-8 has a digest")
	}
}

func TestNeedsWireFaults(t *testing.T) {
	type request = capacitypb.CapacityRequest
	tests := []struct {
		name, want string
		change     func(*request)
	}{
		{"nothing", "containers: got nothing", func(r *request) { r.Containers = nil }},
		{"17 containers", "containers: got 17 entries", func(r *request) { r.Containers = slices.Repeat(r.Containers[:1], 17) }},
		{"65 volumes", "volumes: got 65", func(r *request) { r.Volumes = make([]*capacitypb.VolumeNeeds, 65) }},
		{"1025 ports", "ports: got 1025", func(r *request) { r.Ports = make([]*capacitypb.PortNeeds, 1025) }},
		{"17 ips", "external_ips: got 17", func(r *request) { r.ExternalIps = make([]*capacitypb.ExternalIpNeeds, 17) }},
		{"33 models", "cpu_models: got 33", func(r *request) { r.CpuModels = make([]string, 33) }},
		{"17 gpus", "containers[0].gpus: got 17", func(r *request) { r.Containers[0].Gpus = make([]*capacitypb.GpuNeeds, 17) }},
		{"33 others", "containers[0].other: got 33", func(r *request) { r.Containers[0].Other = make([]*capacitypb.OtherResource, 33) }},
		{"name", "containers[0].name: got \"A\"", func(r *request) { r.Containers[0].Name = "A" }},
		{"cpu", "containers[0].cpu_millis: got", func(r *request) { r.Containers[0].CpuMillis = math.MaxUint64 }},
		{"memory", "containers[0].memory_bytes: got", func(r *request) { r.Containers[0].MemoryBytes = math.MaxUint64 }},
		{"ephemeral", "containers[0].ephemeral_bytes: got", func(r *request) { r.Containers[0].EphemeralBytes = math.MaxUint64 }},
		{"gpu vendor", "containers[0].gpus[0].vendor: got \"\"", func(r *request) { r.Containers[0].Gpus[0].Vendor = "" }},
		{"gpu model", "containers[0].gpus[0].model: got", func(r *request) { r.Containers[0].Gpus[0].Model = "\x1b[2J" }},
		{"gpu count", "containers[0].gpus[0].count: got", func(r *request) { r.Containers[0].Gpus[0].Count = 1025 }},
		{"gpu memory", "containers[0].gpus[0].memory_bytes: got", func(r *request) { r.Containers[0].Gpus[0].MemoryBytes = math.MaxUint64 }},
		{"other name", "containers[0].other[0].name: got", func(r *request) { r.Containers[0].Other[0].Name = "a b" }},
		{"other quantity", "containers[0].other[0].quantity: got \"-1\"", func(r *request) { r.Containers[0].Other[0].Quantity = "-1" }},
		{"volume name", "volumes[0].name: got", func(r *request) { r.Volumes[0].Name = strings.Repeat("a", 64) }},
		{"volume size", "volumes[0].bytes: got", func(r *request) { r.Volumes[0].Bytes = math.MaxUint64 }},
		{"no replicas", "replicas: got 0", func(r *request) { r.Replicas = 0 }},
		{"many replicas", "replicas: got 101", func(r *request) { r.Replicas = 101 }},
		{"class", "runtime_class: got \"\"", func(r *request) { r.RuntimeClass = "" }},
		{"http", "ports[0].protocol: got \"http\"", func(r *request) { r.Ports[0].Protocol = "http" }},
		{"port", "ports[0].port: got 65536", func(r *request) { r.Ports[0].Port = 65536 }},
		{"family", "external_ips[0].family: got", func(r *request) { r.ExternalIps = []*capacitypb.ExternalIpNeeds{{Family: "v5", Count: 1}} }},
		{"addresses", "external_ips[0].count: got", func(r *request) { r.ExternalIps = []*capacitypb.ExternalIpNeeds{{Family: "v4", Count: 65}} }},
		{"cpu model", "cpu_models[0]: got", func(r *request) { r.CpuModels = []string{strings.Repeat("a", 129)} }},
		{"duration", "duration_hint_seconds: got", func(r *request) { r.DurationHintSeconds = math.MaxUint64 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := testNeeds(t).ToWire()
			tt.change(w)
			got, err := NeedsFromWire(w)
			var e *status.Error
			if !errors.As(err, &e) || e.Reason != "capacity.invalid" || !cmp.Equal(got, Needs{}) {
				t.Fatalf("got %+v, %v", got, err)
			}
			if text := e.Faults[0].String(); !strings.HasPrefix(text, tt.want) {
				t.Errorf("got %s, want %s", text, tt.want)
			}
		})
	}
	var many capacitypb.CapacityRequest
	for range 1024 {
		many.Ports = append(many.Ports, &capacitypb.PortNeeds{})
	}
	var e *status.Error
	if _, err := NeedsFromWire(&many); !errors.As(err, &e) || len(e.Faults) != maxFaults {
		t.Errorf("faults are not bounded: %v", err)
	}
}

func TestNeedsUnknownFields(t *testing.T) {
	unknown := []byte{0x98, 6, 1}
	for name, change := range map[string]func(*capacitypb.CapacityRequest){
		"top":       func(r *capacitypb.CapacityRequest) { r.ProtoReflect().SetUnknown(unknown) },
		"container": func(r *capacitypb.CapacityRequest) { r.Containers[1].ProtoReflect().SetUnknown(unknown) },
		"gpu":       func(r *capacitypb.CapacityRequest) { r.Containers[0].Gpus[0].ProtoReflect().SetUnknown(unknown) },
	} {
		w := testNeeds(t).ToWire()
		change(w)
		if _, err := NeedsFromWire(w); status.CodeOf(err) != status.Unimplemented || status.ReasonOf(err) != "capacity.unknown_field" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !hasUnknown(func() *capacitypb.CapacityResult {
		r := &capacitypb.CapacityResult{Offer: &capacitypb.SignedOffer{}}
		r.Offer.ProtoReflect().SetUnknown(unknown)
		return r
	}().ProtoReflect()) {
		t.Error("an unknown field of a single message is not seen")
	}
}

// FuzzNeedsFromWire: what is accepted adds up and comes back.
func FuzzNeedsFromWire(f *testing.F) {
	b, err := proto.Marshal(testNeeds(f).ToWire())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var w capacitypb.CapacityRequest
		if proto.Unmarshal(b, &w) != nil {
			return
		}
		n, err := NeedsFromWire(&w)
		if err != nil {
			return
		}
		if _, err := n.Total(); err != nil && status.ReasonOf(err) != "capacity.overflow" {
			t.Fatal(err)
		}
		back, err := NeedsFromWire(n.ToWire())
		if diff := cmp.Diff(n, back); diff != "" || err != nil {
			t.Fatal(diff, err)
		}
	})
}
