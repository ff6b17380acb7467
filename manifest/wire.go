package manifest

import (
	"time"

	"apocryph/proto/podpb"
)

// toWire leaves out what stays with the publisher: image references and the
// sources of secrets.
func (m *Manifest) toWire() *podpb.Manifest {
	out := &podpb.Manifest{
		Name:         m.Name,
		Replicas:     &podpb.Replicas{Min: m.Replicas.Min, Max: m.Replicas.Max},
		RuntimeClass: m.RuntimeClass,
	}
	if m.Access != (Access{}) {
		out.Access = &podpb.Access{Exec: m.Access.Exec, PortForward: m.Access.PortForward}
	}
	for i := range m.Containers {
		out.Containers = append(out.Containers, m.Containers[i].toWire())
	}
	for _, v := range m.Volumes {
		out.Volumes = append(out.Volumes, &podpb.Volume{Name: v.Name, Kind: podpb.VolumeKind(v.Kind), Bytes: v.Bytes})
	}
	return out
}

func (c *Container) toWire() *podpb.Container {
	out := &podpb.Container{
		Name: c.Name,
		Image: &podpb.Image{
			Cid: c.Image.CID, EncryptedDigest: c.Image.EncryptedDigest,
			ImageId: c.Image.ImageID, KeyId: c.Image.KeyID,
		},
		Command: c.Command, Args: c.Args, WorkingDir: c.WorkingDir,
		Resources: &podpb.Resources{
			CpuMillis: c.Resources.CPUMillis, MemoryBytes: c.Resources.MemoryBytes,
			EphemeralBytes: c.Resources.EphemeralBytes, Pids: c.Resources.PIDs,
		},
		Health: c.Health.toWire(),
	}
	for _, e := range c.Env {
		out.Env = append(out.Env, &podpb.EnvVar{Name: e.Name, Value: e.Value})
	}
	for _, p := range c.Ports {
		out.Ports = append(out.Ports, &podpb.Port{
			Port: uint32(p.Port), TargetPort: uint32(p.TargetPort), Protocol: string(p.Protocol),
			HostIp: p.HostIP, Name: p.Name, Host: p.Host,
		})
	}
	for _, e := range c.Resources.Extended {
		out.Resources.Extended = append(out.Resources.Extended, &podpb.ExtendedResource{Name: e.Name, Count: e.Count})
	}
	for _, mount := range c.Mounts {
		out.Mounts = append(out.Mounts, &podpb.Mount{Volume: mount.Volume, Path: mount.Path, ReadOnly: mount.ReadOnly})
	}
	return out
}

func (h *Health) toWire() *podpb.Health {
	if h == nil {
		return nil
	}
	out := &podpb.Health{
		IntervalMs: uint64(h.Interval.Milliseconds()), TimeoutMs: uint64(h.Timeout.Milliseconds()),
		StartMs: uint64(h.Start.Milliseconds()), Failures: h.Failures,
	}
	switch {
	case h.HTTP != nil:
		out.Check = &podpb.Health_Http{Http: &podpb.HttpCheck{Port: uint32(h.HTTP.Port), Path: h.HTTP.Path}}
	case h.TCP != nil:
		out.Check = &podpb.Health_Tcp{Tcp: &podpb.TcpCheck{Port: uint32(h.TCP.Port)}}
	default:
		out.Check = &podpb.Health_Command{Command: &podpb.CommandCheck{Argv: h.Command}}
	}
	return out
}

// fromWire converts; numbers that do not fit are cut off, which the comparison
// of the bytes in Unmarshal finds.
func fromWire(in *podpb.Manifest) *Manifest {
	out := &Manifest{
		Name:         in.GetName(),
		Replicas:     Replicas{Min: in.GetReplicas().GetMin(), Max: in.GetReplicas().GetMax()},
		Access:       Access{Exec: in.GetAccess().GetExec(), PortForward: in.GetAccess().GetPortForward()},
		RuntimeClass: in.GetRuntimeClass(),
	}
	for _, c := range in.GetContainers() {
		out.Containers = append(out.Containers, containerFromWire(c))
	}
	for _, v := range in.GetVolumes() {
		out.Volumes = append(out.Volumes, Volume{Name: v.GetName(), Kind: VolumeKind(v.GetKind()), Bytes: v.GetBytes()})
	}
	return out
}

func containerFromWire(in *podpb.Container) Container {
	image, res := in.GetImage(), in.GetResources()
	out := Container{
		Name: in.GetName(),
		Image: Image{
			CID: image.GetCid(), EncryptedDigest: image.GetEncryptedDigest(),
			ImageID: image.GetImageId(), KeyID: image.GetKeyId(),
		},
		Command: in.GetCommand(), Args: in.GetArgs(), WorkingDir: in.GetWorkingDir(),
		Resources: Resources{
			CPUMillis: res.GetCpuMillis(), MemoryBytes: res.GetMemoryBytes(),
			EphemeralBytes: res.GetEphemeralBytes(), PIDs: res.GetPids(),
		},
		Health: healthFromWire(in.GetHealth()),
	}
	for _, e := range in.GetEnv() {
		out.Env = append(out.Env, EnvVar{Name: e.GetName(), Value: e.GetValue()})
	}
	for _, p := range in.GetPorts() {
		out.Ports = append(out.Ports, Port{
			Port: uint16(p.GetPort()), TargetPort: uint16(p.GetTargetPort()), Protocol: Protocol(p.GetProtocol()),
			HostIP: p.GetHostIp(), Name: p.GetName(), Host: p.GetHost(),
		})
	}
	for _, e := range res.GetExtended() {
		out.Resources.Extended = append(out.Resources.Extended, ExtendedResource{Name: e.GetName(), Count: e.GetCount()})
	}
	for _, mount := range in.GetMounts() {
		out.Mounts = append(out.Mounts, Mount{Volume: mount.GetVolume(), Path: mount.GetPath(), ReadOnly: mount.GetReadOnly()})
	}
	return out
}

func healthFromWire(in *podpb.Health) *Health {
	if in == nil {
		return nil
	}
	out := &Health{
		Interval: millis(in.GetIntervalMs()), Timeout: millis(in.GetTimeoutMs()),
		Start: millis(in.GetStartMs()), Failures: in.GetFailures(),
	}
	switch check := in.GetCheck().(type) {
	case *podpb.Health_Http:
		out.HTTP = &HTTPCheck{Port: uint16(check.Http.GetPort()), Path: check.Http.GetPath()}
	case *podpb.Health_Tcp:
		out.TCP = &TCPCheck{Port: uint16(check.Tcp.GetPort())}
	case *podpb.Health_Command:
		out.Command = check.Command.GetArgv()
	}
	return out
}

// millis stops just above the longest time allowed, before it can overflow.
func millis(ms uint64) time.Duration {
	return time.Duration(min(ms, uint64(maxHealthTime.Milliseconds())+1)) * time.Millisecond
}
