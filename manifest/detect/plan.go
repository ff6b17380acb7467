package detect

// Runtime says what kind of build a tree needs.
type Runtime string

// The runtimes that a tree can be told to have.
const (
	Python     Runtime = "python"
	Node       Runtime = "node"
	Go         Runtime = "go"
	Dockerfile Runtime = "dockerfile"
	Static     Runtime = "static"
	Binary     Runtime = "binary"
)

// Runtimes are all of them, in the order of their rules.
func Runtimes() []Runtime { return []Runtime{Python, Go, Node, Dockerfile, Static, Binary} }

// Plan is how to build and run a tree, and why so.
type Plan struct {
	Runtime Runtime
	// Entry is what decided, as a clean path in the tree: a script, the directory
	// of static files, an executable, a Dockerfile, the package of a Go program
	// ("." for the root). Empty where nothing but Argv says it.
	Entry string
	// Argv is the command of the container, whose working directory is /app; empty
	// where the build decides it (static, Dockerfile). A Go program is /app/main.
	Argv []string
	// Env is what Argv needs in the environment, as NAME=VALUE: PYTHONPATH where
	// the packages are in /app/src.
	Env []string
	// Evidence says what was found and which rule it satisfied, for people, in order.
	Evidence []string
	// Warnings say what will surprise.
	Warnings []string
}

// Options are what the caller knows better. The zero value decides by the tree.
type Options struct {
	// Entry is a path in the tree (also as /app/PATH), a command as a JSON array
	// or as a line of words, or MODULE[:FUNCTION] of Python.
	Entry string
	// Runtime leaves out the rules of all others.
	Runtime string
}

// AppDir is where the tree is in the container.
const AppDir = "/app"
