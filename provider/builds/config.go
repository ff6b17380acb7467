package builds

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"apocryph/attest/provenance"
	"apocryph/manifest"
	"apocryph/manifest/detect"
	"apocryph/p2p/git"
	"apocryph/p2p/ipdr"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/artifacts"
	"apocryph/provider/build"
)

// Documents is one kind of what is kept, durably and sealed.
type Documents interface {
	Put(ctx context.Context, name string, value []byte) error
	All(ctx context.Context) (map[string][]byte, error)
	Delete(ctx context.Context, name string) error
}

// Files is a tree on the disk, until it is closed.
type Files interface {
	FS() fs.FS
	Close() error
}

// Sources finds commits and brings their files.
type Sources interface {
	// Bring finds a commit once, asks check, and brings the files of exactly that
	// commit, whose tree it has recomputed.
	Bring(ctx context.Context, w git.Want, check func(git.Resolved) error) (Files, git.Resolved, git.Fetched, error)
}

// Hints are what a caller says of how to build; each may be empty.
type Hints struct{ Entry, Runtime string }

// Job is what the builder is given.
type Job struct {
	Namespace string
	// Source has the files, Plan what was found in them.
	Source fs.FS
	Plan   detect.Plan
	// Args follow the command; Port is where it listens, 0 for the runtime's own.
	Args []string
	Port uint16
	// Log receives what the build writes.
	Log io.Writer
	// Progress is told how much is done, in per cent.
	Progress func(percent int)
}

// Made is a plain image. Its layers may be opened until Close.
type Made struct {
	Image *oci.Image
	// Base is how many of the lowest layers are of the base image.
	Base int
	// Argv is the image's command.
	Argv               []string
	Evidence, Warnings []string
	Materials          []build.Material
	Packages           []build.Package
	// Binary is the path of the executable, where the build made one.
	Binary string
	Close  func() error
}

// Builder makes images.
type Builder interface {
	Build(ctx context.Context, j Job) (Made, error)
}

// Importer seals a plain image and keeps it for owner, with documents about it.
type Importer interface {
	// ImportReferred sets the CIDs of what is in about.
	ImportReferred(ctx context.Context, img *oci.Image, owner provider.InstanceID, report func(done, total int64), about []ipdr.Referrer) (manifest.Image, []byte, error)
}

// Keeper gives up what an import kept.
type Keeper interface {
	Release(ctx context.Context, owner provider.InstanceID) error
}

// Artifacts keeps what builds make, for people.
type Artifacts interface {
	Create(ctx context.Context, namespace, name, contentType, by string, labels map[string]string) (artifacts.Artifact, error)
	Upload(ctx context.Context, namespace, id string, r io.Reader, want map[string][]byte) (artifacts.Artifact, error)
	Delete(ctx context.Context, namespace, id string) error
}

// Attestor states how images were built: [provider.Service]. Owner is whose pods may
// run them.
type Attestor interface {
	// Built signs a statement about a build, has keep put the envelope beside the
	// image, and measures both.
	Built(ctx context.Context, owner provider.PublisherID, b provenance.Build, keep func(envelope []byte) (cid string, err error)) ([]byte, error)
	// DropBuilt forgets what was said of an image; one that a pod of the owner has is
	// a conflict.
	DropBuilt(ctx context.Context, owner provider.PublisherID, imageID string) error
	// SignBuilt signs a statement that Built made, in this process or an earlier one.
	SignBuilt(statement []byte) ([]byte, error)
}

// Config is what a queue is made of. All but Sources, Verify, Attestor, Workers and
// Logger must be set.
type Config struct {
	Documents Documents
	// Dir is the queue's own directory, made with mode 0700, on the file system of
	// the trees that are submitted. It has uploads in plain while they wait, and logs
	// sealed.
	Dir string
	// Sources is nil where nothing is fetched.
	Sources Sources
	// Verify checks a commit as its namespace demands, and says who signed it; nil
	// demands nothing.
	Verify    func(ctx context.Context, namespace string, r git.Resolved) (signer string, err error)
	Detect    func(tree fs.FS, h Hints) (detect.Plan, error)
	Builder   Builder
	Importer  Importer
	Keeper    Keeper
	Artifacts Artifacts
	// Exists reports whether an artifact is still there.
	Exists func(ctx context.Context, namespace, id string) (bool, error)
	// Attestor is nil where nothing is said of builds.
	Attestor Attestor
	// Workers is how many builds run at once, 2 by default.
	Workers int
	Now     func() time.Time
	Logger  *slog.Logger
}

const defaultWorkers = 2

func (c *Config) check() error {
	var faults []status.Fault
	for _, f := range []struct {
		field string
		is    bool
	}{
		{"Documents", c.Documents != nil},
		{"Dir", c.Dir != ""},
		{"Detect", c.Detect != nil},
		{"Builder", c.Builder != nil},
		{"Importer", c.Importer != nil},
		{"Keeper", c.Keeper != nil},
		{"Artifacts", c.Artifacts != nil},
		{"Exists", c.Exists != nil},
		{"Now", c.Now != nil},
	} {
		if !f.is {
			faults = append(faults, status.Fault{Field: f.field, Got: "nothing", Want: "what builds need"})
		}
	}
	if len(faults) > 0 {
		return status.Invalid("build.config", "the queue of builds", faults)
	}
	if c.Workers <= 0 {
		c.Workers = defaultWorkers
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
