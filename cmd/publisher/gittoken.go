package main

import (
	"errors"
	"io"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// gitTokenVariable has the token for private repositories where no file is named.
const gitTokenVariable = "APOCRYPH_GIT_TOKEN"

// gitToken is where the token for private repositories is.
type gitToken struct{ file string }

func (o *gitToken) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.file, "git-token-file", "", "with a slug: `FILE` of mode 0600 with TOKEN or USER:TOKEN for a private repository; - is standard input (default: $"+gitTokenVariable+")")
}

// read reads it; nil is none.
func (o *gitToken) read(g *globals) (*publisher.GitCredential, error) {
	text := g.app.Getenv(gitTokenVariable)
	switch {
	case o.file != "":
		b, err := o.bytes(g)
		if err != nil {
			return nil, err
		}
		text = strings.TrimRight(string(b), "\r\n")
	case text == "":
		return nil, nil
	}
	return publisher.ParseGitCredential(text)
}

// maxTokenFile is a username, a token, what parts them and a line's end, and one more.
const maxTokenFile = publisher.MaxGitUsername + 1 + publisher.MaxGitToken + 2 + 1

func (o *gitToken) bytes(g *globals) ([]byte, error) {
	from := g.app.Stdin
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			e := status.Wrap(err, status.InvalidArgument, "git.token", "reading the token for git")
			if errors.Is(err, os.ErrNotExist) {
				e = e.WithHint("the git host makes one that may read the repository")
			}
			return nil, e
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, status.Wrap(err, status.InvalidArgument, "git.token", "reading the token for git")
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			return nil, status.New(status.InvalidArgument, "git.token", "the file of the token for git can be used by others: its mode is %04o, want 0600", info.Mode().Perm()).
				WithHint("make another token where others may have read it, and: chmod 600 %s", o.file)
		}
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, maxTokenFile))
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "git.token", "reading the token for git")
	}
	return b, nil
}

// readFor is read for one slug. A repository of a disk has no use for a token.
func (o *gitToken) readFor(cmd *cobra.Command, g *globals, s slug.Slug) (*publisher.GitCredential, error) {
	if s.Host != slug.File {
		return o.read(g)
	}
	if o.file != "" {
		return nil, cli.Usage(cmd, "--git-token-file has no effect with a repository of a disk")
	}
	return nil, nil
}

// hostOf is the host that a slug names, with a port where it has one; "" for a disk's.
func hostOf(s slug.Slug) string {
	u, err := url.Parse(s.Canonical(slug.DefaultBases()))
	if err != nil {
		return ""
	}
	return u.Host
}

// oneHost refuses a list of several hosts: a token is for one, and would be sent to all.
func oneHost(items []slug.Item) error {
	var hosts []string
	for _, i := range items {
		if h := hostOf(i.Slug); h != "" && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) < 2 {
		return nil
	}
	return status.New(status.InvalidArgument, "git.token_hosts", "the list has repositories of %s, and a token is for one host", strings.Join(hosts, ", ")).
		WithHint("make a list for each host")
}

// withTokenHint says of a repository that was not found, or a token that was not taken,
// what a user of this program can do.
func withTokenHint(err error, s slug.Slug, c *publisher.GitCredential) error {
	var e *status.Error
	if s.Host == slug.File || !errors.As(err, &e) {
		return err
	}
	var out *status.Error
	switch {
	case e.Reason == "git.repository" && c == nil:
		out = status.Wrap(err, e.Code, e.Reason, "not found, or private").
			WithHint("check the name; a private repository needs a token that may read it: --git-token-file")
	case e.Reason == "git.auth":
		out = status.Wrap(err, e.Code, e.Reason, "the token for git was not taken").
			WithHint("--git-token-file has to have one that may read the repository, and that has not expired")
	default:
		return err
	}
	out.Log = e.Log
	return out
}
