package direct

import (
	"strings"

	"apocryph/manifest"
)

// MaxBytes bounds a manifest and a body.
const MaxBytes = 256 << 10

// maxDepth bounds nesting. The document that the values are written into is two
// levels deeper, and package manifest reads 16.
const maxDepth = 12

// maxValues bounds all values of a body. A manifest with every list full has some
// 4000; in a file each is a node of a hundred bytes and more.
const maxValues = 8 << 10

// The runtimes of this version.
const (
	// Static serves the uploaded files.
	Static = "static"
	// Binary runs one uploaded executable for Linux.
	Binary = "binary"
	// Image runs an image, referenced or uploaded as an archive.
	Image = "image"
)

// The environments that every app has.
const (
	Production  = "production"
	Development = "development"
)

// DefaultPort is what static files are served on, and what a binary is given
// where a port is asked for without a number.
const DefaultPort = 8080

// Manifest is one direct deploy, checked and with all defaults filled in.
type Manifest struct {
	// Name is the app's, a DNS label of at most 40 characters. It is empty in what
	// [ParseDeployment] returns, whose app is in the URL; see [Manifest.SetName].
	Name string
	// Namespace is as [IsNamespace] says, and empty like Name.
	Namespace string
	// Environment is a DNS label.
	Environment string
	// Runtime is one of [Runtimes], or empty where it is found out from the files.
	Runtime string
	// Source is a repository that is built, as it was written, and Ref what of it;
	// empty where files are uploaded.
	Source, Ref string
	// Entry is the executable of a binary, the directory of static files or what else
	// the runtime begins with, as a clean path within what is uploaded, with slashes
	// and without one in front. Empty leaves the choice to the builder.
	Entry string
	// Image is a registry reference or ipfs:CID; empty where files are uploaded or
	// an artifact is named. It is never the name of a file.
	Image string
	// ArtifactID is the UUID of an artifact, in lower case, which has what is to run. A
	// deployment without it and Image waits for a build.
	ArtifactID string
	// CommitSHA is what the caller says the source is: hex digits, never checked.
	CommitSHA string
	// Expected is the revision to replace; 0 is whichever serves.
	Expected uint64
	// Labels is nil where none are given.
	Labels map[string]string
	// Directory has the app's files, relative to the file that the manifest was read
	// from; only of [ParseYAML].
	Directory string
	// Warnings say what was accepted and has no effect.
	Warnings []string
	// Pod has one container, whose name is the pod's and whose image reference is
	// Image.
	Pod *manifest.Manifest
	// Secrets holds the files of the pod's secret volumes, by volume and file name;
	// nil where it has none. They are for nobody to see but the pod.
	Secrets map[string]map[string][]byte `json:"-"`
}

// Runtimes are the values of runtime, in the order in which they are listed to
// people.
func Runtimes() []string { return append([]string{Static, Binary, Image}, BuiltRuntimes()...) }

// ProcessTypes are the values of process_type: "tish" is a native binary,
// "docker" an image.
func ProcessTypes() []string { return []string{"tish", "docker"} }

// SetName gives the deployment its app and namespace. What is no name for an app
// is invalid_argument, manifest.invalid.
func (m *Manifest) SetName(namespace, name string) error {
	var r reader
	r.namespace(place0("/namespace"), namespace)
	r.label(place0("/name"), name, maxName)
	r.environment(place0("/environment"), name, m.Environment)
	if err := r.err("manifest.invalid", "the deployment"); err != nil {
		return err
	}
	m.Namespace, m.Name = namespace, name
	m.Pod.Name, m.Pod.Containers[0].Name = name, name
	return nil
}

func list(words []string) string { return strings.Join(words, ", ") }
