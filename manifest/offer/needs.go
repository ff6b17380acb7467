package offer

import (
	"strconv"
	"strings"
	"time"

	"apocryph/manifest"
)

// Needs are the resources that a manifest asks for.
type Needs struct {
	Containers []ContainerNeeds
	Volumes    []VolumeNeeds
	// Replicas is how many copies of all containers and volumes run, from 1.
	Replicas     uint32
	RuntimeClass string
	// Ports are mapped external ports; HTTP needs none.
	Ports       []PortNeeds
	ExternalIPs []ExternalIPNeeds
	// CPUModels are acceptable; empty means any.
	CPUModels []string
	// Duration is a hint in whole seconds; 0 means unknown.
	Duration time.Duration
	// Reserve asks for the resources to be held until the offer ends.
	Reserve bool
	// Replaces names the caller's own pod whose place this one would take; what
	// that one holds counts as free. Empty for none.
	Replaces string
}

// ContainerNeeds are the resources of one container. Zero bytes of ephemeral
// storage mean no request.
type ContainerNeeds struct {
	Name           string
	CPUMillis      uint64
	MemoryBytes    uint64
	EphemeralBytes uint64
	GPUs           []GPU
	Other          []OtherResource
}

// GPU is a number of equal GPUs. An empty Model is any of the vendor's; zero
// MemoryBytes are any size.
type GPU struct {
	Vendor, Model string
	Count         uint32
	MemoryBytes   uint64
}

// OtherResource is a resource that this version gives no meaning to. Quantity
// has the grammar of manifest.ParseQuantity.
type OtherResource struct{ Name, Quantity string }

// VolumeNeeds is storage that is not in memory; zero Bytes mean no limit.
type VolumeNeeds struct {
	Name  string
	Bytes uint64
}

// PortNeeds is an external port, "tcp" or "udp"; Port 0 is any.
type PortNeeds struct {
	Protocol string
	Port     uint16
}

// ExternalIPNeeds is a number of addresses of a family, "v4" or "v6".
type ExternalIPNeeds struct {
	Family string
	Count  uint32
}

// gpuSuffix is how device plugins name GPUs: "nvidia.com/gpu", "amd.com/gpu".
const gpuSuffix = ".com/gpu"

// gpuVendors are those whose GPUs have a price of their own.
var gpuVendors = []string{"nvidia", "amd", "intel"}

// NeedsOf takes the resources out of a manifest. GPUs of a known vendor become
// GPU needs, every other extended resource an Other.
func NeedsOf(m *manifest.Manifest) Needs {
	n := Needs{Replicas: m.Replicas.Min, RuntimeClass: m.RuntimeClass}
	for i := range m.Containers {
		c := &m.Containers[i]
		need := ContainerNeeds{
			Name: c.Name, CPUMillis: c.Resources.CPUMillis,
			MemoryBytes: c.Resources.MemoryBytes, EphemeralBytes: c.Resources.EphemeralBytes,
		}
		for _, e := range c.Resources.Extended {
			if vendor, ok := gpuVendor(e.Name); ok {
				need.GPUs = append(need.GPUs, GPU{Vendor: vendor, Count: uint32(min(e.Count, manifest.MaxCount))})
				continue
			}
			need.Other = append(need.Other, OtherResource{Name: e.Name, Quantity: strconv.FormatUint(e.Count, 10)})
		}
		for _, p := range c.Ports {
			if p.Protocol != manifest.HTTP {
				n.Ports = append(n.Ports, PortNeeds{Protocol: string(p.Protocol), Port: p.Port})
			}
		}
		n.Containers = append(n.Containers, need)
	}
	for _, v := range m.Volumes {
		if v.Kind != manifest.Secret {
			n.Volumes = append(n.Volumes, VolumeNeeds{Name: v.Name, Bytes: v.Bytes})
		}
	}
	return n
}

func gpuVendor(resource string) (string, bool) {
	vendor, ok := strings.CutSuffix(resource, gpuSuffix)
	for _, v := range gpuVendors {
		if ok && v == vendor {
			return v, true
		}
	}
	return "", false
}
