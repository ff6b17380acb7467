package build

import (
	"fmt"
	"io/fs"
	"os"
	"slices"

	"apocryph/proto/status"
)

// maxOutput bounds the files that a command may leave for us: each is looked at.
const maxOutput = 1 << 14

// output is what a command left. It is hostile: it is read below a root that
// links cannot leave, and files that are no regular ones are refused.
type output struct {
	dir  string
	root *os.Root
}

func newOutput(dir string) (*output, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, diskError(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, diskError(err)
	}
	return &output{dir: dir, root: root}, nil
}

func (o *output) close() error { return o.root.Close() }

// open opens a regular file of at most the given bytes.
func (o *output) open(name string, most int64) (*os.File, int64, error) {
	refuse := func(got string) error {
		return status.New(status.InvalidArgument, "build.output", "%.200q: got %s, want a file of at most %d bytes", name, got, most)
	}
	info, err := o.root.Lstat(name)
	if err != nil {
		return nil, 0, refuse("nothing")
	}
	if !info.Mode().IsRegular() {
		return nil, 0, refuse(fmt.Sprintf("a special file (%s)", info.Mode().Type()))
	}
	if info.Size() > most {
		return nil, 0, refuse(fmt.Sprintf("%d bytes", info.Size()))
	}
	f, err := o.root.Open(name)
	if err != nil {
		return nil, 0, refuse("a file that cannot be read")
	}
	return f, info.Size(), nil
}

// names lists the files at the top, sorted.
func (o *output) names() ([]string, error) {
	d, err := o.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("reading what the command left: %w", err)
	}
	defer d.Close()
	all, err := d.ReadDir(maxOutput + 1)
	if err != nil && len(all) == 0 {
		return nil, nil
	}
	if len(all) > maxOutput {
		return nil, status.New(status.InvalidArgument, "build.output", "the command left more than %d files", maxOutput)
	}
	var names []string
	for _, e := range all {
		if e.Type() != fs.ModeDir {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}
