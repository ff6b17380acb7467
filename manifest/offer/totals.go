package offer

import (
	"math"
	"math/bits"
	"strings"

	"apocryph/manifest"
	"apocryph/proto/status"
)

// Totals are sums over all containers and replicas.
type Totals struct {
	CPUMillis, MemoryBytes, EphemeralBytes uint64
	// VolumeBytes counts each volume once per replica.
	VolumeBytes uint64
	// GPUs has one entry for each vendor, model and memory size asked for.
	GPUs []GPU
	// Other has one entry a name, in the order of the needs.
	Other []OtherTotal
	// TCPPorts and UDPPorts are external ports, which replicas share.
	TCPPorts, UDPPorts uint64
	// IPv4 and IPv6 are external addresses.
	IPv4, IPv6 uint64
}

// OtherTotal is the sum of a resource that this version gives no meaning to.
type OtherTotal struct {
	Name  string
	Count uint64
}

// Total sums the needs. The error is invalid_argument, capacity.overflow, when
// a sum does not fit, or capacity.invalid when a quantity is not one.
func (n Needs) Total() (Totals, error) {
	var t Totals
	s := summer{replicas: uint64(n.Replicas)}
	for _, c := range n.Containers {
		s.add(&t.CPUMillis, c.CPUMillis)
		s.add(&t.MemoryBytes, c.MemoryBytes)
		s.add(&t.EphemeralBytes, c.EphemeralBytes)
		for _, g := range c.GPUs {
			t.addGPU(&s, g)
		}
		for _, o := range c.Other {
			count, err := manifest.ParseQuantity(o.Quantity, 1)
			if err != nil {
				return Totals{}, status.Wrap(err, status.InvalidArgument, "capacity.invalid", "the quantity of %q is not one", o.Name)
			}
			t.addOther(&s, o.Name, count)
		}
	}
	for _, v := range n.Volumes {
		s.add(&t.VolumeBytes, v.Bytes)
	}
	for _, p := range n.Ports {
		if p.Protocol == string(manifest.UDP) {
			t.UDPPorts++
		} else {
			t.TCPPorts++
		}
	}
	for _, ip := range n.ExternalIPs {
		if ip.Family == familyV6 {
			t.IPv6 += uint64(ip.Count)
		} else {
			t.IPv4 += uint64(ip.Count)
		}
	}
	if s.overflow {
		return Totals{}, status.New(status.InvalidArgument, "capacity.overflow", "the resources add up to more than 64 bits hold")
	}
	return t, nil
}

// summer adds amounts times replicas and remembers when that did not fit.
type summer struct {
	replicas uint64
	overflow bool
}

func (s *summer) add(dst *uint64, amount uint64) {
	high, product := bits.Mul64(amount, s.replicas)
	sum, carry := bits.Add64(*dst, product, 0)
	if high != 0 || carry != 0 {
		s.overflow = true
	}
	*dst = sum
}

func (t *Totals) addGPU(s *summer, g GPU) {
	count := uint64(0)
	i := 0
	for ; i < len(t.GPUs); i++ {
		h := t.GPUs[i]
		if strings.EqualFold(h.Vendor, g.Vendor) && strings.EqualFold(h.Model, g.Model) && h.MemoryBytes == g.MemoryBytes {
			count = uint64(h.Count)
			break
		}
	}
	s.add(&count, uint64(g.Count))
	if count > math.MaxUint32 {
		s.overflow = true
	}
	g.Count = uint32(count)
	if i < len(t.GPUs) {
		t.GPUs[i].Count = g.Count
		return
	}
	t.GPUs = append(t.GPUs, g)
}

func (t *Totals) addOther(s *summer, name string, count uint64) {
	for i := range t.Other {
		if t.Other[i].Name == name {
			s.add(&t.Other[i].Count, count)
			return
		}
	}
	o := OtherTotal{Name: name}
	s.add(&o.Count, count)
	t.Other = append(t.Other, o)
}
