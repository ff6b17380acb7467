package manifest

import (
	"encoding/hex"
	"time"
)

// Digest is the SHA-256 of a canonical manifest's bytes.
type Digest [32]byte

// String is "sha256:" and the hex digits.
func (d Digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// Manifest is what a publisher wants to run, with no default left implicit.
type Manifest struct {
	// Name is a DNS label, unique per publisher.
	Name       string
	Containers []Container
	Replicas   Replicas
	Access     Access
	// RuntimeClass is "runc" unless the manifest asks for another.
	RuntimeClass string
	Volumes      []Volume
}

// Container is one container of a pod. Containers of a pod share localhost.
type Container struct {
	Name  string
	Image Image
	// Command replaces the image's entrypoint, Args its command, as in Kubernetes.
	Command, Args []string
	WorkingDir    string
	// Env is sorted by name and has no name twice.
	Env       []EnvVar
	Ports     []Port
	Resources Resources
	// Health is nil when every port must accept a connection.
	Health *Health
	Mounts []Mount
}

// Image names an image. A manifest file has only Ref; on the wire Ref is empty
// and the rest is set.
type Image struct {
	// Ref is what the manifest file says: "oci:DIR", "docker-archive:FILE",
	// "ipfs:CID" or a registry reference.
	Ref string
	// CID is the root of the image's directory on IPFS, CIDv1 base32.
	CID string
	// EncryptedDigest is the digest of the OCI manifest that is pulled.
	EncryptedDigest string
	// ImageID is the digest of the image configuration.
	ImageID string
	// KeyID names the key among the sealed image keys; empty for a plain image.
	KeyID string
}

// EnvVar is one environment variable.
type EnvVar struct{ Name, Value string }

// Protocol is how an external port is served.
type Protocol string

// The protocols of a port.
const (
	HTTP Protocol = "http"
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
)

// Port is a port that is reachable from outside.
type Port struct {
	// Port is the external port; 0 means that one is assigned. It is always 0
	// for HTTP, which is routed by host name.
	Port uint16
	// TargetPort is the port that the container listens on.
	TargetPort uint16
	Protocol   Protocol
	HostIP     string
	Name       string
	// Host is a host name of the publisher's own, for HTTP only.
	Host string
}

// Resources are limits, and what is reserved.
type Resources struct {
	CPUMillis uint64
	// MemoryBytes and EphemeralBytes are in bytes; 0 EphemeralBytes means no request.
	MemoryBytes, EphemeralBytes uint64
	PIDs                        uint64
	// Extended are further resources such as nvidia.com/gpu, sorted by name.
	Extended []ExtendedResource
}

// ExtendedResource is a counted resource with a vendor's name.
type ExtendedResource struct {
	Name  string
	Count uint64
}

// Health says when a container counts as up. Exactly one of HTTP, TCP and
// Command is set.
type Health struct {
	HTTP    *HTTPCheck
	TCP     *TCPCheck
	Command []string
	// Interval is between two checks, Timeout for one, Start until the first success.
	Interval, Timeout, Start time.Duration
	// Failures in a row make a running container unhealthy.
	Failures uint32
}

// HTTPCheck passes on a status from 200 to 399.
type HTTPCheck struct {
	Port uint16
	Path string
}

// TCPCheck passes when a connection is accepted.
type TCPCheck struct{ Port uint16 }

// Mount puts a volume into a container.
type Mount struct {
	Volume, Path string
	ReadOnly     bool
}

// Replicas is how many copies run.
type Replicas struct{ Min, Max uint32 }

// Access is what the publisher may do inside the running pod; all off by
// default, and measured with the manifest.
type Access struct{ Exec, PortForward bool }

// VolumeKind is what a volume is made of.
type VolumeKind uint8

// The kinds of volume. The numbers are those of the wire.
const (
	// EmptyDir lives as long as the pod's revision.
	EmptyDir VolumeKind = 1
	// Persistent outlives revisions, until the pod is deleted.
	Persistent VolumeKind = 2
	// Secret is a set of files kept in memory; they travel sealed, beside the manifest.
	Secret VolumeKind = 3
)

// Volume is storage that containers can mount.
type Volume struct {
	Name string
	Kind VolumeKind
	// Bytes is the size asked for; 0 means no limit was asked for.
	Bytes uint64
	// Source is the file or directory that a secret is read from. It is the
	// publisher's own and never leaves its machine.
	Source string
}
