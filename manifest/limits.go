package manifest

import "time"

// What a manifest may hold. A manifest comes from a stranger: each bound keeps
// it from growing what a provider must store, reserve or start.
const (
	// MaxBytes bounds a manifest file and the canonical bytes.
	MaxBytes = 1 << 20

	// MaxContainers bounds the processes and file systems of one pod.
	MaxContainers = 16
	// MaxPorts bounds, per container, the routes and mapped ports.
	MaxPorts = 64
	// MaxEnv bounds the variables of a container, MaxEnvValue one value in
	// bytes; execve(2) takes 128 KiB for one string.
	MaxEnv      = 512
	MaxEnvValue = 64 << 10
	// MaxArgs bounds the words of a command, MaxArg one word in bytes.
	MaxArgs = 512
	MaxArg  = 64 << 10
	// MaxVolumes bounds the volumes of a pod and the mounts of a container.
	MaxVolumes = 64
	// MaxExtended bounds the extended resources of a container, MaxCount the
	// count of one.
	MaxExtended = 32
	MaxCount    = 1024
	// MaxReplicas bounds the copies of a pod.
	MaxReplicas = 100

	// MaxCPUMillis, MaxMemoryBytes, MaxStorageBytes and MaxPIDs are per
	// container or volume. They lie far above any machine, and so low that no
	// sum over a pod and its replicas overflows 64 bits.
	MaxCPUMillis    = 4096 * 1000
	MaxMemoryBytes  = 64 << 40
	MaxStorageBytes = 1 << 50
	MaxPIDs         = 32768

	// minCPUMillis is 1 ms in a CFS period of 100 ms, the least that the
	// kernel takes.
	minCPUMillis = 10
	// minMemoryBytes is what a container needs to start at all.
	minMemoryBytes = 6 << 20

	// maxName bounds the names of the app and of containers: with an id they
	// become one label of a host name, 63 bytes. maxVolumeName leaves room for
	// the generated name of an inline volume.
	maxName       = 40
	maxVolumeName = 63
	maxPath       = 1024
	maxRef        = 1024
	maxKeyID      = 128
)

// The values of fields that a manifest file leaves out.
const (
	DefaultCPUMillis    = 500
	DefaultMemoryBytes  = 256 << 20
	DefaultPIDs         = 512
	DefaultRuntimeClass = "runc"

	DefaultHealthInterval = 10 * time.Second
	DefaultHealthTimeout  = 2 * time.Second
	DefaultHealthStart    = 60 * time.Second
	DefaultHealthFailures = 3
)

// Health checks run outside of the pod's own limits, so they are not allowed
// to be frequent.
const (
	minHealthTime     = time.Second
	maxHealthTime     = time.Hour
	maxHealthFailures = 100
)
