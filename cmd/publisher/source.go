package main

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"apocryph/attest/commit"
	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/manifest"
	"apocryph/manifest/detect"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// sourceOptions are the flags of a deploy from git.
type sourceOptions struct {
	slug, manifest, name, branch, path, runtime, entry, signer string
	port                                                       uint16
	token                                                      gitToken
}

// sourceFlags are those that mean nothing without --git.
var sourceFlags = []string{"manifest", "name", "branch", "path", "runtime", "entry", "signer", "port", "git-token-file"}

// appPort is where an app is taken to listen that has no manifest.
const appPort = 8080

func (o *sourceOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.slug, "git", "", "`SLUG` that the provider fetches and builds: gh:OWNER/REPO[#REF], gl:…, git+https://… or file:///…")
	f.StringVar(&o.manifest, "manifest", "", "with --git: manifest `FILE`, with image: build where the built image goes")
	f.StringVar(&o.name, "name", "", "with --git: `NAME` of the app (default: the manifest's, else the repository's)")
	f.Uint16Var(&o.port, "port", appPort, "with --git and no manifest: `PORT` that the app serves HTTP on")
	addSource(cmd, o)
	f.StringVar(&o.signer, "signer", "", "with --git: `FILE` of SSH or PGP keys, one of which must have signed the commit")
}

// addSource adds the flags that plan has, too.
func addSource(cmd *cobra.Command, o *sourceOptions) {
	f := cmd.Flags()
	f.StringVar(&o.branch, "branch", "", "with a slug: `BRANCH` that the commit must be on (default: the slug's, else the repository's default)")
	f.StringVar(&o.path, "path", "", "with a slug: `DIR` of the repository to build (default: all of it)")
	o.token.add(cmd)
	addHints(cmd, &o.entry, &o.runtime)
}

// addHints adds what decides how a tree is built.
func addHints(cmd *cobra.Command, entry, runtime *string) {
	var runtimes []string
	for _, r := range detect.Runtimes() {
		runtimes = append(runtimes, string(r))
	}
	f := cmd.Flags()
	f.StringVar(entry, "entry", "", "`ENTRY` to run: a path in DIR, MODULE:FUNCTION, or a command")
	f.StringVar(runtime, "runtime", "", "only look for `RUNTIME`: "+strings.Join(runtimes, ", "))
	cli.Complete(cmd, "runtime", runtimes...)
}

// check refuses flags that have no effect together.
func (o *sourceOptions) check(cmd *cobra.Command, args []string) error {
	if o.slug == "" {
		for _, name := range sourceFlags {
			if cmd.Flags().Changed(name) {
				return cli.Usage(cmd, "--%s has no effect without --git", name)
			}
		}
		if len(args) == 0 {
			return cli.Usage(cmd, "missing argument APP.YAML")
		}
		return nil
	}
	switch {
	case len(args) > 0:
		return cli.Usage(cmd, "%s is a manifest: with --git it is --manifest", args[0])
	case o.manifest != "" && cmd.Flags().Changed("port"):
		return cli.Usage(cmd, "--port has no effect with --manifest, which has the ports")
	}
	for _, name := range []string{"api", "dry-run"} {
		if cmd.Flags().Changed(name) {
			return cli.Usage(cmd, "--%s has no effect with --git: `publisher plan SLUG` shows what would be built", name)
		}
	}
	return nil
}

// read makes a source and the manifest around it.
func (o *sourceOptions) read() (*publisher.Source, *manifest.Manifest, string, error) {
	s, err := slug.Parse(o.slug)
	if err != nil {
		return nil, nil, "", err
	}
	src := &publisher.Source{Slug: s, Branch: o.branch, Path: strings.TrimSuffix(o.path, "/"), Runtime: o.runtime, Entry: o.entry}
	if o.branch != "" {
		if err := slug.CheckRef(o.branch); err != nil {
			return nil, nil, "", err
		}
	}
	if src.Path != "" && !fs.ValidPath(src.Path) {
		return nil, nil, "", status.New(status.InvalidArgument, "source.path", "the path %q is not one within a repository", o.path).
			WithHint("write it relative, with slashes and without ..")
	}
	if src.Path == "." {
		src.Path = ""
	}
	if o.signer != "" {
		if src.Signers, err = readSigners(o.signer); err != nil {
			return nil, nil, "", err
		}
	}
	m, dir, err := o.app(s)
	if err != nil {
		return nil, nil, "", err
	}
	if o.name != "" {
		m.Name = o.name
		if faults := m.Validate(); len(faults) > 0 {
			return nil, nil, "", status.Invalid("manifest.invalid", "the manifest", faults)
		}
	}
	return src, m, dir, nil
}

// app is the manifest, one with a single container where none is given.
func (o *sourceOptions) app(s slug.Slug) (*manifest.Manifest, string, error) {
	if o.manifest != "" {
		return readManifest(o.manifest)
	}
	name := o.name
	if name == "" {
		name = s.Name()
	}
	m, err := manifest.ParseFile(fmt.Appendf(nil, "name: %q\ncontainers:\n- image: %s\n  port: %d\n  env: {PORT: %q}\n", name, publisher.BuildRef, o.port, fmt.Sprint(o.port)))
	return m, ".", err
}

// readSigners reads a file of keys: lines as in an authorized_keys file, or armoured
// PGP keys.
func readSigners(path string) (policy.Signers, error) {
	b, err := readFile(path, "signer", "it is the file of public keys, such as ~/.ssh/id_ed25519.pub")
	if err != nil {
		return policy.Signers{}, err
	}
	if _, err := commit.ParseKeys(b); err != nil {
		return policy.Signers{}, fmt.Errorf("%s: %w", path, err)
	}
	if strings.Contains(string(b), "-----BEGIN PGP") {
		return policy.Signers{PGP: []string{string(b)}}, nil
	}
	return policy.Signers{SSH: []string{string(b)}}, nil
}
