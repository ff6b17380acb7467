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
	// Evidence says what was found and which rule it satisfied, for people, in order.
	Evidence []string
	// Warnings say what will surprise.
	Warnings []string
}
