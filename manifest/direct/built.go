package direct

import (
	"slices"

	"apocryph/proto/strictjson"
)

// The runtimes that are built from source. Empty, where a manifest names no runtime,
// is found out from the files.
const (
	// Python runs a module or a script, with the packages that its lock file names.
	Python = "python"
	// Node runs a package's start script or its main file.
	Node = "node"
	// Go compiles a program.
	Go = "go"
	// Dockerfile does what a Dockerfile says.
	Dockerfile = "dockerfile"
)

// BuiltRuntimes are those that are built from source.
func BuiltRuntimes() []string { return []string{Python, Node, Go, Dockerfile} }

// Built reports whether a runtime is built from source: one of [BuiltRuntimes], or
// none, which is found out.
func Built(runtime string) bool { return runtime == "" || slices.Contains(BuiltRuntimes(), runtime) }

// source takes over where the source is. The older form of a deploy named a URL.
func (r *reader) source(d *document, m *Manifest) {
	m.Source, m.Ref = r.text(d.Source), r.text(d.Ref)
	switch {
	case m.Source != "" && len(m.Source) > maxPath:
		r.refuse(d.Source, "a longer text", "a repository, such as gh:owner/repo or https://github.com/owner/repo")
	case m.Source != "" && given(d.Image):
		r.refuse(d.Source, "a source as well as an image", "one of the two")
	case m.Source == "" && m.Ref != "":
		r.refuse(d.Ref, "a ref without a source", "none")
	}
}

// webPort gives what is built from source the port that an app is told by PORT,
// where the manifest says nothing of ports; an empty list says that there is none.
func (d *document) webPort(c *container, m *Manifest) {
	if Built(m.Runtime) && !given(c.port) && d.Ports.Kind == strictjson.Absent && !given(d.Listen) {
		c.port = number(place0("/port"), DefaultPort)
	}
}
