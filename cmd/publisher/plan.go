package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/manifest/detect"
	"apocryph/proto/status"
)

// planFields is a plan in --json.
type planFields struct {
	Runtime  string   `json:"runtime"`
	Entry    string   `json:"entry,omitempty"`
	Argv     []string `json:"argv"`
	Env      []string `json:"env,omitempty"`
	Evidence []string `json:"evidence"`
	Warnings []string `json:"warnings"`
}

func newPlan(g *globals) *cobra.Command {
	var o detect.Options
	cmd := &cobra.Command{
		Use: "plan DIR", Short: "Show how a tree of files would be built and run, and why",
		Long: `Show how a tree of files would be built and run, and why. Nothing is built, and
nothing leaves this machine. The first of these decides:

  1. --entry
  2. the label ENTRYPOINT: labels: {ENTRYPOINT: …} in apocryph.yaml or
     project.json, or LABEL ENTRYPOINT=… in a Dockerfile
  3. Python: __main__.py or main.py, the first of [project.scripts] in
     pyproject.toml, PACKAGE/__main__.py, src/PACKAGE/__main__.py
  4. Procfile: web, else its first process
  5. Go: go.mod and package main, at the root or in a single cmd/NAME
  6. Node: package.json: scripts.start, main, index.js, server.js
  7. Dockerfile
  8. a static site: index.html, also in public, dist, build or site
  9. an executable called main

Where two programs satisfy one rule, neither is chosen: name one. An entry is a
path in DIR, MODULE:FUNCTION of Python, or a command, as a line or a JSON array.
The exit code is 10 when nothing says how to run the tree; everything that was
looked for is listed.`,
		Example: `  publisher plan .
  publisher plan ./shop --entry shop.cli:main
  publisher plan ./site --runtime static
  publisher plan . --entry '["python", "-m", "shop", "--verbose"]' --json`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error {
			root, err := os.OpenRoot(args[0])
			if err != nil {
				return status.Wrap(err, status.InvalidArgument, "plan.dir", "opening the directory")
			}
			return errors.Join(g.plan(root.FS(), o), root.Close())
		},
	}
	var runtimes []string
	for _, r := range detect.Runtimes() {
		runtimes = append(runtimes, string(r))
	}
	f := cmd.Flags()
	f.StringVar(&o.Entry, "entry", "", "`ENTRY` to run: a path in DIR, MODULE:FUNCTION, or a command")
	f.StringVar(&o.Runtime, "runtime", "", "only look for `RUNTIME`: "+strings.Join(runtimes, ", "))
	cli.Complete(cmd, "runtime", runtimes...)
	return cmd
}

// plan prints the plan for a tree, wherever that comes from.
func (g *globals) plan(tree fs.FS, o detect.Options) error {
	p, err := detect.Detect(tree, o)
	if err != nil {
		var e *status.Error
		if errors.As(err, &e) && e.Reason == "entrypoint.not_found" {
			return e.WithHint("%s; --entry tries one", e.Hint)
		}
		return err
	}
	g.app.Result(planFields{
		string(p.Runtime), p.Entry, append([]string{}, p.Argv...), p.Env, append([]string{}, p.Evidence...), append([]string{}, p.Warnings...),
	})
	for _, w := range p.Warnings {
		fmt.Fprintf(g.app.Stderr, "warning: %s\n", cli.Clean(w))
	}
	if g.app.JSON {
		return nil
	}
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s%s\n", key, cli.Clean(value))
		}
	}
	line("runtime", string(p.Runtime))
	line("entry", p.Entry)
	if len(p.Argv) > 0 {
		line("argv", fmt.Sprintf("%q", p.Argv))
	}
	line("env", strings.Join(p.Env, " "))
	for _, s := range p.Evidence {
		line("because", s)
	}
	_, err = fmt.Fprint(g.app.Stdout, b.String())
	return err
}
