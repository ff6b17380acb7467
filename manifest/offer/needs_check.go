package offer

import (
	"fmt"
	"regexp"

	"apocryph/manifest"
	"apocryph/proto/capacitypb"
)

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	resourcePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$`)
	vendorPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,39}$`)
)

const labelForm = "a DNS label in lower case"

// sizes refuses long lists before anything is done for each entry.
func (c *checker) sizes(in *capacitypb.CapacityRequest) {
	c.count("volumes", len(in.GetVolumes()), manifest.MaxVolumes)
	c.count("ports", len(in.GetPorts()), maxPorts)
	c.count("external_ips", len(in.GetExternalIps()), maxIPs)
	c.count("cpu_models", len(in.GetCpuModels()), maxCPUModels)
	if !c.count("containers", len(in.GetContainers()), manifest.MaxContainers) {
		return
	}
	for i, w := range in.GetContainers() {
		c.count(fmt.Sprintf("containers[%d].gpus", i), len(w.GetGpus()), maxGPUs)
		c.count(fmt.Sprintf("containers[%d].other", i), len(w.GetOther()), manifest.MaxExtended)
	}
}

func (c *checker) request(in *capacitypb.CapacityRequest) {
	if len(in.GetContainers()) == 0 {
		c.addf("containers", "nothing", "at least one container")
	}
	for i, w := range in.GetContainers() {
		c.container(fmt.Sprintf("containers[%d]", i), w)
	}
	for i, v := range in.GetVolumes() {
		at := fmt.Sprintf("volumes[%d]", i)
		c.matches(at+".name", v.GetName(), namePattern, labelForm)
		c.atMost(at+".bytes", v.GetBytes(), manifest.MaxStorageBytes)
	}
	if r := in.GetReplicas(); r == 0 || r > manifest.MaxReplicas {
		c.addf("replicas", fmt.Sprint(r), "from 1 to %d", manifest.MaxReplicas)
	}
	c.matches("runtime_class", in.GetRuntimeClass(), namePattern, labelForm)
	for i, p := range in.GetPorts() {
		at := fmt.Sprintf("ports[%d]", i)
		if proto := p.GetProtocol(); proto != string(manifest.TCP) && proto != string(manifest.UDP) {
			c.addf(at+".protocol", shown(proto), "tcp or udp")
		}
		c.atMost(at+".port", uint64(p.GetPort()), 65535)
	}
	for i, ip := range in.GetExternalIps() {
		at := fmt.Sprintf("external_ips[%d]", i)
		if f := ip.GetFamily(); f != familyV4 && f != familyV6 {
			c.addf(at+".family", shown(f), "v4 or v6")
		}
		c.atMost(at+".count", uint64(ip.GetCount()), maxIPCount)
	}
	for i, model := range in.GetCpuModels() {
		c.text(fmt.Sprintf("cpu_models[%d]", i), model, maxText)
	}
	if in.GetReplaces() != "" {
		c.matches("replaces", in.GetReplaces(), namePattern, labelForm)
	}
	c.atMost("duration_hint_seconds", in.GetDurationHintSeconds(), uint64(maxDuration.Seconds()))
}

func (c *checker) container(at string, w *capacitypb.ContainerNeeds) {
	c.matches(at+".name", w.GetName(), namePattern, labelForm)
	c.atMost(at+".cpu_millis", w.GetCpuMillis(), manifest.MaxCPUMillis)
	c.atMost(at+".memory_bytes", w.GetMemoryBytes(), manifest.MaxMemoryBytes)
	c.atMost(at+".ephemeral_bytes", w.GetEphemeralBytes(), manifest.MaxStorageBytes)
	for i, g := range w.GetGpus() {
		gpu := fmt.Sprintf("%s.gpus[%d]", at, i)
		c.matches(gpu+".vendor", g.GetVendor(), vendorPattern, "a vendor in lower case such as nvidia")
		c.text(gpu+".model", g.GetModel(), maxText)
		c.atMost(gpu+".count", uint64(g.GetCount()), manifest.MaxCount)
		c.atMost(gpu+".memory_bytes", g.GetMemoryBytes(), manifest.MaxMemoryBytes)
	}
	for i, o := range w.GetOther() {
		other := fmt.Sprintf("%s.other[%d]", at, i)
		c.matches(other+".name", o.GetName(), resourcePattern, "a resource name such as example.com/fpga")
		if _, err := manifest.ParseQuantity(o.GetQuantity(), 1); err != nil {
			c.addf(other+".quantity", shown(o.GetQuantity()), "a quantity such as 1 or 64Mi")
		}
	}
}
