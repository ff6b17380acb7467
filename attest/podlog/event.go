package podlog

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"apocryph/manifest"
)

// Type is a kind of event, in the words of the wire.
type Type string

// The kinds of events. AgentStart to Ready set the provider up, the others are
// about tenants.
const (
	TypeAgentStart  Type = "agent-start"
	TypeConfig      Type = "config"
	TypeReady       Type = "ready"
	TypePodCreate   Type = "pod-create"
	TypeImageExec   Type = "image-exec"
	TypeKeyRelease  Type = "key-release"
	TypePodStart    Type = "pod-start"
	TypePodStop     Type = "pod-stop"
	TypeBuildDone   Type = "build-done"
	TypeExecAttempt Type = "exec-attempt"
)

// kinds numbers the types for payloads, from 1. It is append-only.
var kinds = [...]struct {
	name Type
	make func() Event
}{
	{TypeAgentStart, func() Event { return new(AgentStart) }},
	{TypeConfig, func() Event { return new(Config) }},
	{TypePodCreate, func() Event { return new(PodCreate) }},
	{TypeImageExec, func() Event { return new(ImageExec) }},
	{TypeKeyRelease, func() Event { return new(KeyRelease) }},
	{TypePodStart, func() Event { return new(PodStart) }},
	{TypePodStop, func() Event { return new(PodStop) }},
	{TypeBuildDone, func() Event { return new(BuildDone) }},
	{TypeExecAttempt, func() Event { return new(ExecAttempt) }},
	{TypeReady, func() Event { return new(Ready) }},
}

// kind is the number of a type, 0 for one that this version does not know.
func kind(t Type) int {
	for i := range kinds {
		if kinds[i].name == t {
			return i + 1
		}
	}
	return 0
}

// Known reports whether this version knows the kind of event. What it does not
// know is refused everywhere: it could mean anything.
func (t Type) Known() bool { return kind(t) != 0 }

// Event is what happened: a pointer to one of this package's event types. Texts
// are printable ASCII of 1 to 256 bytes and times have whole milliseconds.
type Event interface {
	// Type is the kind of the event.
	Type() Type
	fields(*coder)
}

// Digest is a SHA-256.
type Digest = manifest.Digest

// AgentStart is the first event: which software writes this log.
type AgentStart struct {
	At      time.Time
	Version string
	// Binary is the digest of the running executable.
	Binary Digest
	// Provider is the text form of the provider's peer id.
	Provider string
	// BootEpoch is that of the claims, 1 to 64 bytes.
	BootEpoch []byte
	// Keys is the digest of the public keys of this start, [KeysDigest].
	Keys Digest
}

// Config is what the provider was set up to do. There may be several, all of
// them before [Ready].
type Config struct {
	At time.Time
	// Name is which part of the configuration this is, Effective the digest of
	// its bytes after defaults, flags and environment.
	Name      string
	Effective Digest
	// Storage is how data at rest is protected, as in the claims.
	Storage string
	// AccessPaths are the ways into the machine that are open beside the protocol
	// and the ingress, such as "ssh" or "debug-shell"; empty is good.
	AccessPaths []string
}

// Ready ends the setting up. From here on no configuration changes.
type Ready struct{ At time.Time }

// PodCreate is a pod that was accepted.
type PodCreate struct {
	At       time.Time
	PodID    string
	Revision uint64
	// Publisher is the text form of its peer id.
	Publisher string
	// Manifest is the digest of the canonical manifest, with pinned images.
	Manifest Digest
}

// ImageExec is a container that was made and not yet started, as the runtime
// reports it.
type ImageExec struct {
	At       time.Time
	PodID    string
	Instance string
	// Container is its name in the manifest.
	Container string
	CID       string
	// ImageID is the digest of the image's configuration, read back.
	ImageID Digest
	// Args, Env, Mounts and Capabilities are [ListDigest]s of what the runtime
	// will use: arguments in order, "NAME=value", "SOURCE:TARGET:OPTIONS" and
	// capability names sorted. Whoever wrote the manifest can compute them.
	Args, Env, Mounts, Capabilities Digest
}

// KeyRelease is secrets that this provider got for a pod.
type KeyRelease struct {
	At       time.Time
	PodID    string
	Revision uint64
	// Claims is the digest of the claims that they were released to.
	Claims   Digest
	Manifest Digest
	// Containers are those whose image keys were released.
	Containers []string
}

// PodStart is an instance of a pod that runs.
type PodStart struct {
	At       time.Time
	PodID    string
	Revision uint64
	Instance string
}

// PodStop is an instance of a pod that ended.
type PodStop struct {
	At       time.Time
	PodID    string
	Revision uint64
	Instance string
	// Cause is a slug such as "requested", "exited" or "oom-killed".
	Cause string
}

// BuildDone is an image that was built here.
type BuildDone struct {
	At    time.Time
	PodID string
	// Source says what it was built from, such as a repository and commit.
	Source  string
	ImageID Digest
	CID     string
	// Provenance is the digest of the statement about the build.
	Provenance Digest
}

// ExecAttempt is that somebody tried to run a command in a running container.
type ExecAttempt struct {
	At        time.Time
	PodID     string
	Instance  string
	Container string
	// By is who: a peer id, or "operator".
	By string
	// Command is the [ListDigest] of its arguments.
	Command Digest
	Allowed bool
	// Count is how many equal attempts this event stands for, at least 1. Refused
	// ones are to be counted and logged together: each event is forever in the log.
	Count uint64
}

// Type implements [Event].
func (*AgentStart) Type() Type { return TypeAgentStart }

// Type implements [Event].
func (*Config) Type() Type { return TypeConfig }

// Type implements [Event].
func (*Ready) Type() Type { return TypeReady }

// Type implements [Event].
func (*PodCreate) Type() Type { return TypePodCreate }

// Type implements [Event].
func (*ImageExec) Type() Type { return TypeImageExec }

// Type implements [Event].
func (*KeyRelease) Type() Type { return TypeKeyRelease }

// Type implements [Event].
func (*PodStart) Type() Type { return TypePodStart }

// Type implements [Event].
func (*PodStop) Type() Type { return TypePodStop }

// Type implements [Event].
func (*BuildDone) Type() Type { return TypeBuildDone }

// Type implements [Event].
func (*ExecAttempt) Type() Type { return TypeExecAttempt }

const (
	listTag = "apocryph/podlog/0.0.1/list\x00"
	keysTag = "apocryph/podlog/0.0.1/keys\x00"
)

// ListDigest is SHA-256("apocryph/podlog/0.0.1/list\0" || len (number of items)
// || (len || item) ...), so that no two lists have one digest.
func ListDigest(items []string) Digest {
	b := binary.BigEndian.AppendUint32([]byte(listTag), uint32(len(items)))
	for _, s := range items {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	return sha256.Sum256(b)
}

// KeysDigest is SHA-256("apocryph/podlog/0.0.1/keys\0" || len || HPKE public key
// || len || receipt public key): the keys of one start, as in the claims.
func KeysDigest(hpke, receipt []byte) Digest {
	b := []byte(keysTag)
	for _, k := range [][]byte{hpke, receipt} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(k))), k...)
	}
	return sha256.Sum256(b)
}

// SortedListDigest is the [ListDigest] of the items in order of their bytes: for
// lists whose order means nothing.
func SortedListDigest(items []string) Digest { return ListDigest(slices.Sorted(slices.Values(items))) }
