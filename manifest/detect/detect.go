package detect

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"apocryph/proto/status"
)

// Detect decides how to build and run a tree. Errors are invalid_argument:
// entrypoint.not_found, which lists everything that was looked for,
// entrypoint.ambiguous, which lists what would do, entrypoint.invalid about the
// options or a label, and entrypoint.malformed, entrypoint.unreadable and
// entrypoint.limits about files.
func Detect(files fs.FS, o Options) (Plan, error) {
	f := &finder{tree: &tree{FS: files}, only: Runtime(o.Runtime)}
	if o.Runtime != "" && !slices.Contains(Runtimes(), f.only) {
		return Plan{}, invalid("runtime", quote(o.Runtime), "one of "+words(Runtimes()))
	}
	p, err := f.decide(o.Entry)
	if err != nil {
		return Plan{}, err
	}
	if err := f.warn(p); err != nil {
		return Plan{}, err
	}
	p.Warnings = append(p.Warnings, f.warnings...)
	return *p, nil
}

// finder is one search: what it may find, and what it has looked for.
type finder struct {
	*tree
	only     Runtime
	looked   []status.Fault
	warnings []string
}

// rule is one way for a tree to say how it is run. It returns nil where the
// tree does not.
type rule struct {
	runtime Runtime // empty: any
	find    func(*finder) (*Plan, error)
}

var rules = []rule{
	{"", (*finder).label},
	{Python, (*finder).python},
	{"", (*finder).procfile},
	{Go, (*finder).goModule},
	{Node, (*finder).node},
	{Dockerfile, (*finder).dockerfile},
	{Static, (*finder).static},
	{Binary, (*finder).binary},
}

func (f *finder) decide(entry string) (*Plan, error) {
	if entry != "" {
		return f.entry("entry", entry)
	}
	for _, r := range rules {
		if f.only != "" && r.runtime != "" && r.runtime != f.only {
			continue
		}
		if p, err := r.find(f); p != nil || err != nil {
			return p, err
		}
	}
	e := status.New(status.InvalidArgument, "entrypoint.not_found", "nothing in the tree says how to run it; looked for")
	e.Faults = f.looked
	hint := "name the program with an entry, or with labels: {ENTRYPOINT: …} in apocryph.yaml"
	if near, err := f.guess(); err == nil && near != "" {
		hint = fmt.Sprintf("%s may be the program: %s", near, hint)
	}
	return nil, e.WithHint("%s", hint)
}

// guess is the one script at the root, which no rule names.
func (f *finder) guess() (string, error) {
	names, err := f.list(".")
	if err != nil {
		return "", err
	}
	var found []string
	for _, n := range names {
		if kindOfName(n) != "" && !strings.HasPrefix(n, "test") && n != "setup.py" && n != "conftest.py" && printable(n) {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		return "", nil
	}
	return quote(found[0]), nil
}

// missed notes what was looked for.
func (f *finder) missed(what, got, want string) {
	if len(f.looked) < maxSeen {
		f.looked = append(f.looked, status.Fault{Field: what, Got: got, Want: want})
	}
}

// allowed reports whether a plan may have a runtime.
func (f *finder) allowed(r Runtime) bool { return f.only == "" || f.only == r }

func invalid(field, got, want string) error {
	return status.Invalid("entrypoint.invalid", "what to run", []status.Fault{{Field: field, Got: got, Want: want}})
}

// ambiguous refuses to choose.
func ambiguous(what string, found []string, hint string) error {
	e := status.New(status.InvalidArgument, "entrypoint.ambiguous", "%d %s could be what to run", len(found), what)
	for _, name := range found[:min(len(found), maxSeen)] {
		e.Faults = append(e.Faults, status.Fault{Field: name, Want: "one of them named as the entry"})
	}
	return e.WithHint("%s", hint)
}

func words[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}
