package provider

import (
	"context"
	"io"
	"strings"
	"time"

	"apocryph/manifest"
)

// PublisherID is the text form of a publisher's libp2p peer id: the tenant.
type PublisherID string

// PodID is the SHA-256 of publisher and pod name, base32, 26 lowercase
// characters: the same pod has the same id at every provider.
type PodID string

// InstanceID is one replica of one revision: "PODID-REVISION-REPLICA".
type InstanceID string

// BuildPrefix begins the ids of instances that run builds, and not a replica of
// a pod: no pod id has a hyphen. Who runs builds removes them; the service does
// not, though it knows no pod of theirs.
const BuildPrefix = "buildpod-"

// Build reports whether an instance runs a build.
func (id InstanceID) Build() bool { return strings.HasPrefix(string(id), BuildPrefix) }

// MadePrefix begins the owners of images that builds have made. They are kept as
// long as the build's artifact is, and builds release them.
const MadePrefix = "made-"

// Made reports whether an owner is a build's.
func (id InstanceID) Made() bool { return strings.HasPrefix(string(id), MadePrefix) }

// ImageRequest says which image to bring, and from whom.
type ImageRequest struct {
	manifest.Image
	// Peer is the publisher, who is asked first.
	Peer PublisherID
}

// Image is an encrypted image that is here or on its way.
type Image struct {
	// Manifest and Config are the exact bytes, already checked against their digests.
	Manifest, Config []byte
	Layers           []Layer
	// Wait returns when every layer is here, verified and durable: also those
	// that nobody had to read. Nil means that they are.
	Wait func(context.Context) error
	// Close ends what still arrives and gives up the bytes that were read here.
	// Nil means that there is nothing to close.
	Close func()
}

// Layer is one layer's ciphertext, or its plain bytes where it is not encrypted.
type Layer struct {
	MediaType   string
	Digest      string
	Size        int64
	Annotations map[string]string
	// Open returns a reader that may be used while the layer still arrives: a
	// read waits for its bytes. Reads that reach the end have verified all of it.
	Open func(context.Context) (ReadAtCloser, error)
}

// ReadAtCloser is a blob.
type ReadAtCloser interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Images brings images to this machine and keeps them, still encrypted, while
// a pod needs them.
type Images interface {
	// Fetch starts to bring an image and returns as soon as its manifest and
	// config are here. Layers go on arriving until ctx ends or the image is
	// closed. It is kept for owner, durably, until it is released.
	Fetch(ctx context.Context, owner InstanceID, req ImageRequest, report func(Progress)) (*Image, error)
	// Release gives up all that was fetched for owner. Unknown owners are no error.
	Release(ctx context.Context, owner InstanceID) error
	// Owners lists those for whom anything is kept.
	Owners(ctx context.Context) ([]InstanceID, error)
}

// Progress is how far a provision is.
type Progress struct {
	Stage Stage
	// Done and Total are bytes, Rate bytes per second.
	Done, Total, Rate uint64
	// Source is "peer", "network" or "local".
	Source string
}

// Stage is a step of a provision. The numbers are those of the wire.
type Stage uint8

// The stages, in order.
const (
	StageAccepted  Stage = 1
	StageFetching  Stage = 2
	StageUnpacking Stage = 3
	StageStarting  Stage = 4
	StageHealthy   Stage = 5
)

// InstanceSpec is all that a runtime needs to know to run one replica.
type InstanceSpec struct {
	ID InstanceID
	// Pod owns the persistent volumes.
	Pod       PodID
	Publisher PublisherID
	Name      string
	Class     string
	// Containers are started in order and share a network namespace.
	Containers []ContainerSpec
	Volumes    []manifest.Volume
	// Secrets holds the files of secret volumes, by volume and file name.
	Secrets map[string]map[string][]byte
	// Offline leaves it no network but its own loopback, and no resolver.
	Offline bool
}

// ContainerSpec is one container of an instance.
type ContainerSpec struct {
	manifest.Container
	Image *Image
	// Key is the PKCS #8 DER private key that opens the image; nil for a plain image.
	Key []byte
	// Binds are mounted beside Mounts.
	Binds []Bind
	// AsRoot runs it as root of its user namespace, whichever user its image names.
	AsRoot bool
	// Nested lets it be the host of containers of its own: in its user namespace
	// it may mount, make namespaces and change its root. On this machine it may
	// do as little as any other.
	Nested bool
}

// Bind mounts a directory that is in a volume. It has to be there when the
// container starts; Dir is relative and clean.
type Bind struct{ Volume, Dir, Path string }

// Runtime runs instances. Its implementations pass runtimetest.Test.
type Runtime interface {
	// Create unpacks the images and makes everything of an instance but its
	// processes. What a crash left of an instance of the same id is removed
	// first. It checks that each container's key really opens its image, and
	// returns what it read back from the runtime. On error nothing is left behind.
	Create(ctx context.Context, spec InstanceSpec, report func(Progress)) (Created, error)
	// Start starts every container of an instance that does not run.
	Start(ctx context.Context, id InstanceID) error
	// Remove stops an instance, first politely for at most grace, and deletes
	// everything of it but persistent volumes. An unknown id is no error.
	Remove(ctx context.Context, id InstanceID, grace time.Duration) error
}

// Created is what a runtime made.
type Created struct {
	// IP is the instance's own address, reachable from this machine only.
	IP string
	// ImageIDs are the digests of the image configurations, by container, as
	// the runtime reports them.
	ImageIDs map[string]string
	// Execs is what each container will run, as the runtime will run it.
	Execs map[string]Exec
}

// Exec is a container's process, read back from the runtime.
type Exec struct {
	// Args are in order, Env as "NAME=value", Mounts as "SOURCE:TARGET:OPTIONS",
	// Capabilities as "CAP_NAME", all of them without duplicates.
	Args, Env, Mounts, Capabilities []string
}

// Instances looks at what a runtime has.
type Instances interface {
	// List returns every instance on this machine, running or not.
	List(ctx context.Context) ([]Instance, error)
	// Watch calls fn for each container that exits, until ctx ends. Exits that
	// happened before it was called are seen by List.
	Watch(ctx context.Context, fn func(Exit)) error
	// Exec runs a command in a container, for health checks, and returns its
	// exit code and the last bytes of its output.
	Exec(ctx context.Context, id InstanceID, container string, argv []string) (int, []byte, error)
}

// Roots looks at the writable root file systems of instances, which no quota bounds.
type Roots interface {
	// RootBytes is what the containers of an instance have written to their root
	// file systems, in bytes on the disk.
	RootBytes(ctx context.Context, id InstanceID) (uint64, error)
}

// Volumes are the persistent volumes of pods.
type Volumes interface {
	// RemoveVolumes deletes a pod's persistent volumes. An unknown pod is no error.
	RemoveVolumes(ctx context.Context, pod PodID) error
}

// Logs reads what containers wrote.
type Logs interface {
	// ReadLogs calls fn for each line, oldest first, and with q.Follow waits for
	// more until ctx ends. It reads rotated files too.
	ReadLogs(ctx context.Context, q LogQuery, fn func(LogLine) error) error
}

// LogQuery selects log lines.
type LogQuery struct {
	Instance InstanceID
	// Container is empty for all.
	Container string
	Follow    bool
	Since     time.Time
	// Tail is the number of last lines to begin with; 0 means all.
	Tail int
}

// LogLine is one line of a container's output, without its line break.
type LogLine struct {
	Container string
	Time      time.Time
	// Stream is "stdout" or "stderr".
	Stream string
	Text   []byte
}

// Instance is what the runtime knows of one replica.
type Instance struct {
	ID         InstanceID
	Pod        PodID
	Publisher  PublisherID
	IP         string
	Containers []ContainerState
}

// ContainerState is the state of one container.
type ContainerState struct {
	Name    string
	Running bool
	// ExitCode is -1 where there was no exit, 137 when it was killed.
	ExitCode int
	// OOMKilled is set when the memory limit killed it.
	OOMKilled bool
	ImageID   string
}

// Exit is the end of a container's process.
type Exit struct {
	Instance  InstanceID
	Container string
	Code      int
	OOMKilled bool
	At        time.Time
}
