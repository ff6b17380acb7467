package inventory

import (
	"fmt"
	"sync"
	"time"

	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// offerTime is how long an offer and its reservation are valid.
	offerTime = 5 * time.Minute
	// maxReservations and maxReservationsPerPublisher bound what is held for
	// publishers who never come, against one who keeps a machine empty.
	maxReservations             = 64
	maxReservationsPerPublisher = 4
)

// Keep is what is kept back for the provider itself and the system, in percent.
type Keep struct{ CPU, Memory, Disk uint8 }

// defaultKeep keeps a tenth of memory and disk; CPU time is shared anyway.
var defaultKeep = Keep{Memory: 10, Disk: 10}

// Config is what New needs.
type Config struct {
	Machine Machine
	// Prices is free when zero.
	Prices         offer.PriceList
	RuntimeClasses []string
	// Provider is this provider's peer id in binary form.
	Provider []byte
	// Ports is the range of mapped ports, both ends included.
	Ports [2]uint16
	// GPUs says that the runtime hands GPUs to containers. Else they are not offered.
	GPUs bool
	// Keep is what is not offered; the zero value is a tenth of memory and disk.
	Keep Keep
	// Now may be nil for time.Now.
	Now func() time.Time
}

// Inventory keeps the books. Its methods may be called from any goroutine.
type Inventory struct {
	cfg Config
	// total is what is offered when nothing is charged.
	total amounts

	mu           sync.Mutex // guards what follows
	charges      map[provider.PodID]charge
	reservations map[string]reservation
}

// reservation is a charge without a pod.
type reservation struct {
	charge
	publisher provider.PublisherID
	// replaces is the pod whose charge the reservation would take the place of;
	// only what goes beyond that is held.
	replaces provider.PodID
	expires  time.Time
}

// New validates a configuration.
func New(cfg Config) (*Inventory, error) {
	var faults []status.Fault
	if len(cfg.Provider) == 0 {
		faults = append(faults, status.Fault{Field: "provider", Got: "nothing", Want: "a binary peer id"})
	}
	if cfg.Ports[0] == 0 || cfg.Ports[1] < cfg.Ports[0] {
		faults = append(faults, status.Fault{Field: "ports", Got: fmt.Sprintf("%d-%d", cfg.Ports[0], cfg.Ports[1]), Want: "FIRST-LAST within 1-65535"})
	}
	for _, k := range []struct {
		name    string
		percent uint8
	}{{"cpu", cfg.Keep.CPU}, {"memory", cfg.Keep.Memory}, {"disk", cfg.Keep.Disk}} {
		if k.percent >= 100 {
			faults = append(faults, status.Fault{Field: "keep." + k.name, Got: fmt.Sprint(k.percent), Want: "a percentage below 100"})
		}
	}
	if len(faults) > 0 {
		return nil, status.Invalid("inventory.config", "inventory configuration", faults)
	}
	if cfg.Keep == (Keep{}) {
		cfg.Keep = defaultKeep
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m := cfg.Machine
	ports := uint64(cfg.Ports[1]-cfg.Ports[0]) + 1
	return &Inventory{
		cfg: cfg,
		total: amounts{
			cpu: kept(m.CPUMillis, cfg.Keep.CPU), memory: kept(m.MemoryBytes, cfg.Keep.Memory), disk: kept(m.DiskBytes, cfg.Keep.Disk),
			tcp: ports, udp: ports,
		},
		charges:      map[provider.PodID]charge{},
		reservations: map[string]reservation{},
	}, nil
}

// kept is what is left of n; dividing first keeps it in 64 bits.
func kept(n uint64, percent uint8) uint64 { return n - n/100*uint64(percent) }

// Free is what is left, rounded down to whole cores, GiB of memory and tens of
// GiB of disk.
type Free struct {
	CPUMillis, MemoryBytes, DiskBytes uint64
	GPUs                              uint32
}

// Free returns what may be told to anyone. Reservations count as taken.
func (i *Inventory) Free() Free {
	i.mu.Lock()
	defer i.mu.Unlock()
	b := i.books("", "")
	f := Free{
		CPUMillis: down(b.free.cpu, 1000), MemoryBytes: down(b.free.memory, 1<<30), DiskBytes: down(b.free.disk, 10<<30),
	}
	if i.cfg.GPUs {
		for _, taken := range b.gpus {
			if !taken {
				f.GPUs++
			}
		}
	}
	return f
}

func down(n, unit uint64) uint64 { return n - n%unit }
