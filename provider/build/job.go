package build

import (
	"context"
	"io"
	"io/fs"
	"time"

	"apocryph/p2p/oci"
)

// Runner runs one command of a build, isolated from everything else on this machine.
type Runner interface {
	// Run returns when the command has ended and nothing of it runs any more. That it
	// exited with another status than 0 is invalid_argument "build.command"; that it
	// ran out of time or memory says so.
	Run(ctx context.Context, j Job) error
}

// Job is one command of a build.
type Job struct {
	// Namespace owns the caches, Name is for people and logs.
	Namespace, Name string
	// Image is the root file system; what the command writes there is lost.
	Image *oci.Image
	Argv  []string
	// Env is "NAME=value".
	Env []string
	// Dir is the working directory; /src by default.
	Dir string
	// Source is copied to /src, writable, with fixed times and owners.
	Source fs.FS
	// Caches are directories that are kept for the namespace, by name: each is at
	// /cache/NAME.
	Caches []string
	// Output is an empty directory of this machine that receives what the command
	// left in /out; nil where nothing is wanted. Whoever reads it must expect
	// hostile files: links, sizes.
	Output string
	// Egress lets the command reach the network; else it has none but itself.
	Egress bool
	// Nested lets the command make containers of its own, in its own user
	// namespace, as a builder of Dockerfiles does. Nothing else needs it.
	Nested bool
	// CPUMillis, MemoryBytes, DiskBytes and Time are limits; 0 is the runner's default.
	CPUMillis, MemoryBytes, DiskBytes uint64
	Time                              time.Duration
	// Log receives what the command writes, in lines; nil discards it.
	Log io.Writer
}

// Base is a base image for a runtime.
type Base struct {
	Image *oci.Image
	// URI says where it came from, for people and for provenance: a registry
	// reference with its digest, "oci:NAME@sha256:…", "ipfs:CID".
	URI string
}

// Bases finds base images.
type Bases interface {
	// Base returns the image of a role: "python", "node", "static", "go" (toolchain),
	// "dockerfile" (what runs Dockerfiles). None is unavailable "build.base", whose
	// hint says how to bring one.
	Base(ctx context.Context, role string, p oci.Platform) (Base, error)
}
