package inventory

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/provider"
)

func TestReservation(t *testing.T) {
	cfg := testConfig()
	c := &clock{now: time.Unix(1_700_000_000, 0)}
	cfg.Now = c.Now
	i, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	two := needs(func(n *offer.Needs) { n.Reserve, n.Replicas = true, 2 })
	held := quote(t, i, alice, two)
	if held.ReservationID == "" || held.NotAfter.Sub(c.Now()) != offerTime {
		t.Fatalf("offer %+v", held)
	}
	if o := quote(t, i, bob, two); o.Available || o.ReservationID != "" {
		t.Errorf("held resources were offered: %+v", o)
	}
	// Another's reservation is of no use, and is not used up.
	wantShort(t, i.Commit(t.Context(), bob, "pod-b", two, held.ReservationID), "capacity.cpu", "cpu")
	if err := i.Commit(t.Context(), alice, "pod-a", two, held.ReservationID); err != nil {
		t.Fatal(err)
	}
	wantShort(t, i.Commit(t.Context(), alice, "pod-c", two, held.ReservationID), "capacity.cpu", "cpu")
	i.Release("pod-a")
	i.Release("pod-a")

	// One that has ended holds nothing, and can't be used up.
	held = quote(t, i, alice, two)
	c.advance(offerTime - time.Second)
	wantShort(t, i.Commit(t.Context(), bob, "pod-b", two, ""), "capacity.cpu", "cpu")
	c.advance(time.Second)
	if err := i.Commit(t.Context(), bob, "pod-b", two, ""); err != nil {
		t.Errorf("after the end: %v", err)
	}
	wantShort(t, i.Commit(t.Context(), alice, "pod-a", two, held.ReservationID), "capacity.cpu", "cpu")
	if len(i.reservations) != 0 {
		t.Errorf("reservations left: %v", i.reservations)
	}
}

func TestReservationCaps(t *testing.T) {
	cfg := testConfig()
	c := &clock{now: time.Unix(1_700_000_000, 0)}
	cfg.Now = c.Now
	i, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tiny := needs(func(n *offer.Needs) { n.Reserve, n.Containers[0].CPUMillis, n.Containers[0].MemoryBytes = true, 1, 1 })
	for range maxReservationsPerPublisher {
		quote(t, i, alice, tiny)
		c.advance(time.Minute)
	}
	first := slices.Collect(maps.Keys(i.reservations))
	last := quote(t, i, alice, tiny)
	if len(i.reservations) != maxReservationsPerPublisher || slices.Contains(first, last.ReservationID) {
		t.Errorf("%d reservations, want %d with the newest among them", len(i.reservations), maxReservationsPerPublisher)
	}
	tiny.Reserve = false
	quote(t, i, alice, tiny) // asking is free
	tiny.Reserve = true
	quote(t, i, bob, tiny)
	for n := range maxReservations {
		i.reservations[fmt.Sprint(n)] = reservation{publisher: "x", expires: c.Now().Add(time.Hour)}
	}
	_, err = i.Quote(t.Context(), bob, tiny)
	var e *status.Error
	if !errors.As(err, &e) || e.Reason != "capacity.reservations" || e.RetryAfter <= 0 {
		t.Errorf("over the total: %v", err)
	}
	c.advance(time.Minute)
	clear(i.reservations)
	quote(t, i, alice, tiny)
}

func TestCommit(t *testing.T) {
	i := newInventory(t, nil)
	all := needs(func(n *offer.Needs) {
		n.Replicas, n.RuntimeClass = 4, "kata"
		n.Containers[0].MemoryBytes = 3 << 30
		n.Containers[0].Other = []offer.OtherResource{{Name: "x/y", Quantity: "1"}}
		n.Ports = []offer.PortNeeds{{Protocol: "tcp", Port: 1}}
	})
	wantShort(t, i.Commit(t.Context(), alice, "pod", all, ""), "capacity.cpu", "cpu", "memory", "port", "runtime-class", "x/y")
	unknown := needs(func(n *offer.Needs) { n.Containers[0].Other = []offer.OtherResource{{Name: "x/y", Quantity: "1"}} })
	wantShort(t, i.Commit(t.Context(), alice, "pod", unknown, ""), "capacity.unknown", "x/y")
	if len(i.charges) != 0 {
		t.Error("a refused pod is charged")
	}

	// An update replaces the charge; a refused one leaves it.
	two := needs(func(n *offer.Needs) { n.Replicas = 2; n.Ports = []offer.PortNeeds{{Protocol: "tcp", Port: 30001}} })
	for range 3 {
		if err := i.Commit(t.Context(), alice, "pod", two, ""); err != nil {
			t.Fatal(err)
		}
	}
	three := needs(func(n *offer.Needs) { n.Replicas = 3 })
	wantShort(t, i.Commit(t.Context(), alice, "pod", three, ""), "capacity.cpu", "cpu")
	if free := i.Free(); free.CPUMillis != 0 || free.MemoryBytes != 6<<30 {
		t.Errorf("free %+v", free)
	}
	port := needs(func(n *offer.Needs) {
		n.Containers[0].CPUMillis = 0
		n.Ports = []offer.PortNeeds{{Protocol: "tcp", Port: 30001}}
	})
	wantShort(t, i.Commit(t.Context(), alice, "other", port, ""), "capacity.port", "port")
	port.Ports[0].Protocol = "udp"
	if err := i.Commit(t.Context(), alice, "other", port, ""); err != nil {
		t.Errorf("the same port of another protocol: %v", err)
	}
}

func TestGPUsAreGivenOnce(t *testing.T) {
	i := newInventory(t, nil)
	ask := func(pod provider.PodID, gpus ...offer.GPU) error {
		return i.Commit(t.Context(), alice, pod, needs(func(n *offer.Needs) {
			n.Containers[0].CPUMillis, n.Containers[0].GPUs = 1, gpus
		}), "")
	}
	// Any NVIDIA takes the small one, though it is named first.
	if err := ask("a", offer.GPU{Vendor: "nvidia", Count: 1}); err != nil {
		t.Fatal(err)
	}
	if err := ask("b", offer.GPU{Vendor: "nvidia", Model: "A100", Count: 1}); err != nil {
		t.Fatal(err)
	}
	wantShort(t, ask("c", offer.GPU{Vendor: "nvidia", Count: 1}), "capacity.gpu", "gpu/nvidia")
	i.Release("a")
	if err := ask("c", offer.GPU{Vendor: "NVIDIA", Count: 1}); err != nil {
		t.Errorf("after release: %v", err)
	}
	i.Release("b")
	i.Release("c")
	if err := ask("d", offer.GPU{Vendor: "nvidia", Count: 1}, offer.GPU{Vendor: "nvidia", Model: "a100", Count: 1}, offer.GPU{Vendor: "amd", Count: 1}); err != nil {
		t.Errorf("all at once: %v", err)
	}
	if i.Free().GPUs != 0 {
		t.Errorf("%d GPUs left", i.Free().GPUs)
	}
}

// What runs is charged even where it exceeds the machine; nothing more fits.
func TestRestore(t *testing.T) {
	i := newInventory(t, nil)
	big := needs(func(n *offer.Needs) { n.Replicas = 5; n.Containers[0].GPUs = []offer.GPU{{Vendor: "nvidia", Count: 1}} })
	i.Restore("pod", big)
	i.Restore("pod", big)
	if free := i.Free(); free.CPUMillis != 0 || free.GPUs != 1 {
		t.Errorf("free %+v", free)
	}
	wantShort(t, i.Commit(t.Context(), alice, "other", needs(nil), ""), "capacity.cpu", "cpu")
	if err := i.Commit(t.Context(), alice, "pod", needs(nil), ""); err != nil {
		t.Errorf("an update to less: %v", err)
	}
}
