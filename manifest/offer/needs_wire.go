package offer

import (
	"crypto/sha256"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"apocryph/manifest"
	"apocryph/proto/capacitypb"
	"apocryph/proto/status"
)

// What a request may hold, so that a stranger's request is small to keep and
// quick to add up. Those of a manifest are in package manifest.
const (
	maxGPUs      = 16
	maxCPUModels = 32
	maxIPs       = 16
	maxIPCount   = 64
	maxText      = 128
	maxPorts     = manifest.MaxContainers * manifest.MaxPorts
	maxDuration  = 10 * 365 * 24 * time.Hour
)

const (
	familyV4 = "v4"
	familyV6 = "v6"
)

// ToWire converts the needs into a request.
func (n Needs) ToWire() *capacitypb.CapacityRequest {
	out := &capacitypb.CapacityRequest{
		Replicas: n.Replicas, RuntimeClass: n.RuntimeClass, CpuModels: n.CPUModels,
		DurationHintSeconds: uint64(max(0, n.Duration) / time.Second), Reserve: n.Reserve,
		Replaces: n.Replaces,
	}
	for _, c := range n.Containers {
		w := &capacitypb.ContainerNeeds{
			Name: c.Name, CpuMillis: c.CPUMillis, MemoryBytes: c.MemoryBytes, EphemeralBytes: c.EphemeralBytes,
		}
		for _, g := range c.GPUs {
			w.Gpus = append(w.Gpus, &capacitypb.GpuNeeds{Vendor: g.Vendor, Model: g.Model, Count: g.Count, MemoryBytes: g.MemoryBytes})
		}
		for _, o := range c.Other {
			w.Other = append(w.Other, &capacitypb.OtherResource{Name: o.Name, Quantity: o.Quantity})
		}
		out.Containers = append(out.Containers, w)
	}
	for _, v := range n.Volumes {
		out.Volumes = append(out.Volumes, &capacitypb.VolumeNeeds{Name: v.Name, Bytes: v.Bytes})
	}
	for _, p := range n.Ports {
		out.Ports = append(out.Ports, &capacitypb.PortNeeds{Protocol: p.Protocol, Port: uint32(p.Port)})
	}
	for _, ip := range n.ExternalIPs {
		out.ExternalIps = append(out.ExternalIps, &capacitypb.ExternalIpNeeds{Family: ip.Family, Count: ip.Count})
	}
	return out
}

// NeedsFromWire reads a stranger's request. A field that this version does not
// know may be a resource and is refused, not ignored: unimplemented,
// capacity.unknown_field. Everything else that is wrong is invalid_argument,
// capacity.invalid, with all faults.
func NeedsFromWire(in *capacitypb.CapacityRequest) (Needs, error) {
	if hasUnknown(in.ProtoReflect()) {
		return Needs{}, status.New(status.Unimplemented, "capacity.unknown_field", "the request asks for something that this version does not know")
	}
	var c checker
	if c.sizes(in); len(c.faults) == 0 {
		c.request(in)
	}
	if len(c.faults) > 0 {
		return Needs{}, status.Invalid("capacity.invalid", "the capacity request", c.faults)
	}
	out := Needs{
		Replicas: in.GetReplicas(), RuntimeClass: in.GetRuntimeClass(), CPUModels: in.GetCpuModels(),
		Duration: time.Duration(in.GetDurationHintSeconds()) * time.Second, Reserve: in.GetReserve(),
		Replaces: in.GetReplaces(),
	}
	for _, w := range in.GetContainers() {
		need := ContainerNeeds{
			Name: w.GetName(), CPUMillis: w.GetCpuMillis(), MemoryBytes: w.GetMemoryBytes(), EphemeralBytes: w.GetEphemeralBytes(),
		}
		for _, g := range w.GetGpus() {
			need.GPUs = append(need.GPUs, GPU{Vendor: g.GetVendor(), Model: g.GetModel(), Count: g.GetCount(), MemoryBytes: g.GetMemoryBytes()})
		}
		for _, o := range w.GetOther() {
			need.Other = append(need.Other, OtherResource{Name: o.GetName(), Quantity: o.GetQuantity()})
		}
		out.Containers = append(out.Containers, need)
	}
	for _, v := range in.GetVolumes() {
		out.Volumes = append(out.Volumes, VolumeNeeds{Name: v.GetName(), Bytes: v.GetBytes()})
	}
	for _, p := range in.GetPorts() {
		out.Ports = append(out.Ports, PortNeeds{Protocol: p.GetProtocol(), Port: uint16(p.GetPort())})
	}
	for _, ip := range in.GetExternalIps() {
		out.ExternalIPs = append(out.ExternalIPs, ExternalIPNeeds{Family: ip.GetFamily(), Count: ip.GetCount()})
	}
	return out, nil
}

// RequestDigest is the SHA-256 of the request's bytes, which an offer repeats.
// Both sides work it out from the needs and not from the bytes on the stream.
// It fails on text that is not UTF-8 only.
func RequestDigest(n Needs) ([32]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(n.ToWire())
	if err != nil {
		return [32]byte{}, fmt.Errorf("encoding capacity request: %w", err)
	}
	return sha256.Sum256(b), nil
}

// hasUnknown reports whether m, or a message in it, has fields that this
// version does not know.
func hasUnknown(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				found = found || hasUnknown(v.List().Get(i).Message())
			}
		default:
			found = hasUnknown(v.Message())
		}
		return !found
	})
	return found
}
