package inventory

import (
	"cmp"
	"slices"
	"strings"

	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/provider"
)

// amounts are countable resources; the disk holds ephemeral storage and volumes.
type amounts struct{ cpu, memory, disk, tcp, udp uint64 }

// minus is a less b, never below nothing: restored pods may exceed the machine.
func (a amounts) minus(b amounts) amounts {
	sub := func(x, y uint64) uint64 { return x - min(x, y) }
	return amounts{sub(a.cpu, b.cpu), sub(a.memory, b.memory), sub(a.disk, b.disk), sub(a.tcp, b.tcp), sub(a.udp, b.udp)}
}

// fixed is a port that was asked for by number.
type fixed struct {
	protocol string
	port     uint16
}

// charge is what a pod or a reservation takes.
type charge struct {
	amounts
	// gpus are indices into the machine's.
	gpus  []int
	ports []fixed
}

// books are the accounts at one moment.
type books struct {
	free amounts
	// gpus says which are taken, ports which fixed ones are.
	gpus  []bool
	ports map[fixed]bool
}

// books adds up all charges but that of one pod and one reservation. It drops
// reservations that have ended. The caller holds the lock.
func (i *Inventory) books(exceptPod provider.PodID, exceptReservation string) books {
	b := books{free: i.total, gpus: make([]bool, len(i.cfg.Machine.GPUs)), ports: map[fixed]bool{}}
	for id, c := range i.charges {
		if id != exceptPod {
			b.take(c)
		}
	}
	now := i.cfg.Now()
	for id, r := range i.reservations {
		if !now.Before(r.expires) {
			delete(i.reservations, id)
			continue
		}
		if id == exceptReservation {
			continue
		}
		c := r.charge
		if old, ok := i.charges[r.replaces]; ok && r.replaces != exceptPod {
			c.amounts = c.minus(old.amounts)
		}
		b.take(c)
	}
	return b
}

func (b *books) take(c charge) {
	b.free = b.free.minus(c.amounts)
	for _, g := range c.gpus {
		b.gpus[g] = true
	}
	for _, p := range c.ports {
		b.ports[p] = true
	}
}

// chargeOf is what needs take, without GPUs, which have to be chosen.
func chargeOf(n offer.Needs, t offer.Totals) charge {
	c := charge{amounts: amounts{
		cpu: t.CPUMillis, memory: t.MemoryBytes, disk: saturating(t.EphemeralBytes, t.VolumeBytes), tcp: t.TCPPorts, udp: t.UDPPorts,
	}}
	for _, p := range n.Ports {
		if p.Port != 0 {
			c.ports = append(c.ports, fixed{p.Protocol, p.Port})
		}
	}
	return c
}

func saturating(a, b uint64) uint64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return ^uint64(0)
}

// choose picks free GPUs for every need and marks them as taken. The pickiest
// needs choose first, and each takes the smallest device that will do, so that
// little is left over; an assignment that only a search would find is missed.
// Missing is how many of each need there were not.
func (b *books) choose(machine []GPU, needs []offer.GPU) (chosen []int, missing []uint32) {
	missing = make([]uint32, len(needs))
	order := make([]int, len(needs))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Or(strings.Compare(needs[y].Model, needs[x].Model), cmp.Compare(needs[y].MemoryBytes, needs[x].MemoryBytes))
	})
	for _, n := range order {
		for range needs[n].Count {
			best := b.smallest(machine, needs[n])
			if best < 0 {
				missing[n]++
				continue
			}
			b.gpus[best] = true
			chosen = append(chosen, best)
		}
	}
	return chosen, missing
}

func (b *books) smallest(machine []GPU, need offer.GPU) int {
	best := -1
	for g, have := range machine {
		if !b.gpus[g] && fits(have, need) && (best < 0 || have.MemoryBytes < machine[best].MemoryBytes) {
			best = g
		}
	}
	return best
}

// fits takes part of a model's name, as people write "a100" for "NVIDIA
// A100-SXM4-40GB". Memory that is not known is not enough.
func fits(have GPU, need offer.GPU) bool {
	return strings.EqualFold(have.Vendor, need.Vendor) && have.MemoryBytes >= need.MemoryBytes &&
		strings.Contains(strings.ToLower(have.Model), strings.ToLower(need.Model))
}

// portsLeft is the number of free ports of a protocol.
func (a amounts) portsLeft(protocol string) uint64 {
	if protocol == string(manifest.UDP) {
		return a.udp
	}
	return a.tcp
}
