package inventory

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"apocryph/manifest/offer"
	"apocryph/provider"
)

// Random quotes, commits, releases and passing time never give out more than
// there is, nor a GPU or a port twice.
func TestNeverOvercommits(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		cfg := testConfig()
		c := &clock{now: time.Unix(1_700_000_000, 0)}
		cfg.Now = c.Now
		i, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for step := range 300 {
			publisher := []provider.PublisherID{alice, bob}[random.IntN(2)]
			pod := provider.PodID(fmt.Sprint(random.IntN(6)))
			n := randomNeeds(random)
			switch random.IntN(5) {
			case 0, 1:
				n.Reserve = true
				if o, err := i.Quote(t.Context(), publisher, n); err == nil {
					ids = append(ids, o.ReservationID)
				}
			case 2, 3:
				id := ""
				if len(ids) > 0 {
					id = ids[random.IntN(len(ids))]
				}
				_ = i.Commit(t.Context(), publisher, pod, n, id) // may be refused
			case 4:
				i.Release(pod)
				c.advance(time.Duration(random.IntN(90)) * time.Second)
			}
			if why := overcommitted(i); why != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, why)
			}
		}
	}
}

func randomNeeds(random *rand.Rand) offer.Needs {
	return needs(func(n *offer.Needs) {
		n.Replicas = 1 + uint32(random.IntN(3))
		w := &n.Containers[0]
		w.CPUMillis, w.MemoryBytes, w.EphemeralBytes = uint64(random.IntN(900)), uint64(random.IntN(4<<30)), uint64(random.IntN(4<<30))
		n.Volumes = []offer.VolumeNeeds{{Name: "v", Bytes: uint64(random.IntN(4 << 30))}}
		if random.IntN(3) == 0 {
			w.GPUs = []offer.GPU{{Vendor: "nvidia", Count: 1}}
			n.Replicas = 1
		}
		for range random.IntN(4) {
			n.Ports = append(n.Ports, offer.PortNeeds{Protocol: "tcp", Port: []uint16{0, 30000, 30001}[random.IntN(3)]})
		}
	})
}

// overcommitted adds up independently of the books.
func overcommitted(i *Inventory) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var cpu, memory, disk, tcp uint64
	gpus, ports := map[int]string{}, map[fixed]string{}
	why := ""
	add := func(owner string, c charge) {
		cpu, memory, disk, tcp = cpu+c.cpu, memory+c.memory, disk+c.disk, tcp+c.tcp
		for _, g := range c.gpus {
			if other, taken := gpus[g]; taken {
				why = fmt.Sprintf("GPU %d is given to %s and %s", g, other, owner)
			}
			gpus[g] = owner
		}
		for _, p := range c.ports {
			if other, taken := ports[p]; taken && other != owner {
				why = fmt.Sprintf("port %v is given to %s and %s", p, other, owner)
			}
			ports[p] = owner
		}
	}
	for id, c := range i.charges {
		add(string(id), c)
	}
	for id, r := range i.reservations {
		if i.cfg.Now().Before(r.expires) {
			add(id, r.charge)
		}
	}
	if cpu > 2000 || memory > 8<<30 || disk > 10<<30 || tcp > 10 {
		return fmt.Sprintf("cpu %d, memory %d, disk %d, tcp %d", cpu, memory, disk, tcp)
	}
	return why
}

func TestConcurrently(t *testing.T) {
	i := newInventory(t, nil)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			pod := provider.PodID(fmt.Sprint(n))
			for range 50 {
				_ = i.Commit(t.Context(), alice, pod, needs(nil), "") // may be refused
				if _, err := i.Quote(t.Context(), bob, needs(nil)); err != nil {
					t.Error(err)
				}
				_ = i.Free()
				i.Release(pod)
			}
		})
	}
	wg.Wait()
	if free := i.Free(); free.CPUMillis != 2000 {
		t.Errorf("left %+v", free)
	}
}
