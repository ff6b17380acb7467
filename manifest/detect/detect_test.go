package detect_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"apocryph/manifest/detect"
	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite the plans in testdata")

// golden is the file of an archive that holds what is expected.
const golden = "PLAN"

// treeOf makes a tree of an archive, whose comment has the lines entry:,
// runtime: and exec: (a file that is executable).
func treeOf(a *txtar.Archive) (fstest.MapFS, detect.Options) {
	var o detect.Options
	executable := ""
	for line := range strings.SplitSeq(string(a.Comment), "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "entry":
			o.Entry = value
		case "runtime":
			o.Runtime = value
		case "exec":
			executable = value
		}
	}
	files := fstest.MapFS{}
	for _, f := range a.Files {
		if f.Name == golden {
			continue
		}
		mode := fs.FileMode(0o644)
		if f.Name == executable {
			mode = 0o755
		}
		files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: mode}
	}
	return files, o
}

// text is a plan, or an error with all that it lists.
func text(p detect.Plan, err error) string {
	var b strings.Builder
	var e *status.Error
	if errors.As(err, &e) {
		fmt.Fprintf(&b, "error %s: %s\n", e.Reason, e.Error())
		for _, f := range e.Faults {
			fmt.Fprintf(&b, "  %s\n", f)
		}
		if e.Hint != "" {
			fmt.Fprintf(&b, "hint: %s\n", e.Hint)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "runtime %s\nentry %q\nargv %q\n", p.Runtime, p.Entry, p.Argv)
	if p.Env != nil {
		fmt.Fprintf(&b, "env %q\n", p.Env)
	}
	for _, s := range p.Evidence {
		fmt.Fprintf(&b, "because %s\n", s)
	}
	for _, s := range p.Warnings {
		fmt.Fprintf(&b, "warning %s\n", s)
	}
	return b.String()
}

func archives(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 25 {
		t.Fatalf("%d trees, %v", len(names), err)
	}
	return names
}

// TestI4EntryTrees: each tree has one answer, with its reasons.
func TestI4EntryTrees(t *testing.T) {
	for _, name := range archives(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files, o := treeOf(a)
			got := text(detect.Detect(files, o))
			if *update {
				a.Files[len(a.Files)-1] = txtar.File{Name: golden, Data: []byte(got)}
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(a.Files[len(a.Files)-1].Data), got); d != "" {
				t.Error(d)
			}
		})
	}
}
