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
	"apocryph/manifest/slug"
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
	// Repository and what follows are of a slug.
	Repository string `json:"repository,omitempty"`
	Branch     string `json:"branch,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Tree       string `json:"tree,omitempty"`
}

func newPlan(g *globals) *cobra.Command {
	var o sourceOptions
	cmd := &cobra.Command{
		Use: "plan DIR|SLUG", Short: "Show how a tree of files would be built and run, and why",
		Long: `Show how a tree of files would be built and run, and why. Nothing is built, and
nothing leaves this machine. A SLUG (gh:OWNER/REPO[#REF], gl:…, git+https://… or
file:///…) is fetched into a temporary directory first, by the rules of a provider:
the commit must be on its branch; a private repository is opened by the token of
--git-token-file, or of APOCRYPH_GIT_TOKEN. The first of these decides:

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
  publisher plan gh:owner/shop#v1.2 --path api
  publisher plan . --entry '["python", "-m", "shop", "--verbose"]' --json`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	addSource(cmd, &o)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if isSlug(args[0]) {
			return g.planSlug(cmd, args[0], o)
		}
		for _, name := range []string{"branch", "path", "git-token-file"} {
			if cmd.Flags().Changed(name) {
				return cli.Usage(cmd, "--%s has no effect without a slug", name)
			}
		}
		root, err := os.OpenRoot(args[0])
		if err != nil {
			return status.Wrap(err, status.InvalidArgument, "plan.dir", "opening the directory")
		}
		return errors.Join(g.plan(root.FS(), o.hints(), nil), root.Close())
	}
	return cmd
}

// isSlug tells a slug from a directory, by what only a slug begins with.
func isSlug(s string) bool {
	for _, h := range []slug.Host{slug.GitHub, slug.GitLab, slug.Git, slug.File} {
		if strings.HasPrefix(s, string(h)+":") {
			return true
		}
	}
	return false
}

func (o *sourceOptions) hints() detect.Options {
	return detect.Options{Entry: o.entry, Runtime: o.runtime}
}

func (g *globals) planSlug(cmd *cobra.Command, text string, o sourceOptions) error {
	s, err := slug.Parse(text)
	if err != nil {
		return err
	}
	token, err := o.token.readFor(cmd, g, s)
	if err != nil {
		return err
	}
	f, err := fetch(cmd.Context(), s, o.branch, o.path, token)
	if err != nil {
		return withTokenHint(err, s, token)
	}
	return errors.Join(g.plan(f.tree, o.hints(), &f.origin), f.close())
}

// plan prints the plan for a tree; from is nil where it is of no commit.
func (g *globals) plan(tree fs.FS, o detect.Options, from *origin) error {
	p, err := detect.Detect(tree, o)
	if err != nil {
		var e *status.Error
		if errors.As(err, &e) && e.Reason == "entrypoint.not_found" {
			return e.WithHint("%s; --entry tries one", e.Hint)
		}
		return err
	}
	fields := planFields{
		Runtime: string(p.Runtime), Entry: p.Entry, Argv: append([]string{}, p.Argv...), Env: p.Env,
		Evidence: append([]string{}, p.Evidence...), Warnings: append([]string{}, p.Warnings...),
	}
	if from != nil {
		fields.Repository, fields.Branch, fields.Commit, fields.Tree = from.Repository, from.Branch, from.Commit.ID, from.Commit.Tree
	}
	g.app.Result(fields)
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
	if from != nil {
		line("commit", fmt.Sprintf("%s of %s, %s", from.Commit.ID, from.Repository, from.Branch))
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
