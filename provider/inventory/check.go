package inventory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"apocryph/manifest"
	"apocryph/manifest/offer"
)

// maxLines bounds the resources of an offer, against a request that names
// hundreds; an offer may hold 256.
const maxLines = 200

// answer is what the books say to needs.
type answer struct {
	resources []offer.ResourceOffer
	charge    charge
}

func (a *answer) available() bool {
	return !slices.ContainsFunc(a.resources, func(r offer.ResourceOffer) bool { return !r.Offered })
}

// add notes one resource; why is empty when it is offered.
func (a *answer) add(resource, requested, available, why string) {
	a.resources = append(a.resources, offer.ResourceOffer{
		Resource: resource, Requested: requested, Available: available, Offered: why == "", Reason: why,
	})
}

// check compares needs with what is free. The caller holds the lock.
func (i *Inventory) check(b books, n offer.Needs, t offer.Totals) answer {
	a := answer{charge: chargeOf(n, t)}
	a.amount(offer.ResourceCPU, t.CPUMillis, b.free.cpu, cores)
	a.amount(offer.ResourceMemory, t.MemoryBytes, b.free.memory, bytes)
	if t.EphemeralBytes > 0 {
		a.amount(offer.ResourceEphemeral, t.EphemeralBytes, b.free.disk, bytes)
	}
	if len(n.Volumes) > 0 {
		// One disk: what ephemeral storage takes is gone for volumes.
		a.amount(offer.ResourceVolume, t.VolumeBytes, b.free.disk-min(b.free.disk, t.EphemeralBytes), bytes)
	}
	i.checkGPUs(&a, &b, t)
	i.checkPorts(&a, b, n, t)
	i.checkAddresses(&a, t)
	i.checkClass(&a, n)
	i.checkModel(&a, n)
	for _, o := range t.Other {
		a.add(clip(o.Name), strconv.FormatUint(o.Count, 10), "0", "this provider knows no such resource")
	}
	if more := len(a.resources) - maxLines; more > 0 {
		a.resources = a.resources[:maxLines]
		a.add("more", strconv.Itoa(more), "0", "too many resources to answer one by one")
	}
	return a
}

func (a *answer) amount(resource string, want, free uint64, show func(uint64) string) {
	why := ""
	if want > free {
		why = fmt.Sprintf("%s of %s asked for, %s free", show(want), resource, show(free))
	}
	a.add(resource, show(want), show(free), why)
}

func (i *Inventory) checkGPUs(a *answer, b *books, t offer.Totals) {
	free := slices.Clone(b.gpus)
	chosen, missing := b.choose(i.cfg.Machine.GPUs, t.GPUs)
	for n, g := range t.GPUs {
		name := offer.ResourceGPU + "/" + g.Vendor
		if g.Model != "" {
			name += "/" + g.Model
		}
		fitting := 0
		for k, have := range i.cfg.Machine.GPUs {
			if !free[k] && fits(have, g) {
				fitting++
			}
		}
		want, why := strconv.FormatUint(uint64(g.Count), 10), ""
		switch {
		case !i.cfg.GPUs && g.Count > 0:
			fitting, why = 0, "the runtime of this provider gives no GPUs to pods"
		case missing[n] > 0:
			why = fmt.Sprintf("%s asked for, %d free that fit", want, fitting)
			if g.MemoryBytes > 0 {
				why += " with " + bytes(g.MemoryBytes)
			}
		}
		a.add(clip(name), want, strconv.Itoa(fitting), why)
	}
	a.charge.gpus = chosen
}

func (i *Inventory) checkPorts(a *answer, b books, n offer.Needs, t offer.Totals) {
	first, last := i.cfg.Ports[0], i.cfg.Ports[1]
	for _, protocol := range []string{string(manifest.TCP), string(manifest.UDP)} {
		want := amounts{tcp: t.TCPPorts, udp: t.UDPPorts}.portsLeft(protocol)
		if want == 0 {
			continue
		}
		free := b.free.portsLeft(protocol)
		var whys []string
		if want > free {
			whys = append(whys, fmt.Sprintf("%d %s ports asked for, %d free", want, protocol, free))
		}
		for _, p := range n.Ports {
			switch {
			case p.Protocol != protocol || p.Port == 0:
			case p.Port < first || p.Port > last:
				whys = append(whys, fmt.Sprintf("port %d is not within %d-%d", p.Port, first, last))
			case b.ports[fixed{protocol, p.Port}]:
				whys = append(whys, fmt.Sprintf("port %d is taken", p.Port))
			}
		}
		a.add(offer.ResourcePort, fmt.Sprintf("%d %s", want, protocol), fmt.Sprintf("%d %s", free, protocol), clip(strings.Join(whys, ", ")))
	}
}

// checkAddresses counts external addresses. Pods share them: each maps its
// ports on those that it asks for.
func (i *Inventory) checkAddresses(a *answer, t offer.Totals) {
	var v4, v6 uint64
	for _, addr := range i.cfg.Machine.Addresses {
		if addr.Is4() {
			v4++
		} else {
			v6++
		}
	}
	for _, f := range []struct {
		name       string
		want, have uint64
	}{{"v4", t.IPv4, v4}, {"v6", t.IPv6, v6}} {
		if f.want == 0 {
			continue
		}
		why := ""
		if f.want > f.have {
			why = fmt.Sprintf("this machine has %d external %s addresses", f.have, f.name)
		}
		a.add(offer.ResourceIP, fmt.Sprintf("%d %s", f.want, f.name), fmt.Sprintf("%d %s", f.have, f.name), why)
	}
}

func (i *Inventory) checkClass(a *answer, n offer.Needs) {
	classes, why := clip(strings.Join(i.cfg.RuntimeClasses, ", ")), ""
	if !slices.Contains(i.cfg.RuntimeClasses, n.RuntimeClass) {
		why = fmt.Sprintf("this provider has no runtime class %.40q", n.RuntimeClass)
	}
	a.add(offer.ResourceClass, clip(n.RuntimeClass), classes, why)
}

// checkModel takes part of a model's name, as people write "epyc".
func (i *Inventory) checkModel(a *answer, n offer.Needs) {
	if len(n.CPUModels) == 0 {
		return
	}
	model := strings.ToLower(i.cfg.Machine.CPUModel)
	ok := slices.ContainsFunc(n.CPUModels, func(m string) bool { return m != "" && strings.Contains(model, strings.ToLower(m)) })
	why := ""
	if !ok {
		why = "the CPU is another one"
	}
	a.add(offer.ResourceModel, clip(strings.Join(n.CPUModels, ", ")), clip(i.cfg.Machine.CPUModel), why)
}
