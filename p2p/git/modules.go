package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"apocryph/attest/commit"
	"apocryph/proto/status"
)

const (
	// maxModules caps the submodules of a commit, with those within each other:
	// each is a fetch from wherever a stranger says.
	maxModules = 32
	// maxLevel caps submodules in submodules, which may go in a circle.
	maxLevel = 4
	// maxModuleText caps what git makes of .gitmodules.
	maxModuleText = 256 << 10
)

// submodules brings those of a commit, which says where they come from in its
// file .gitmodules and which commit it wants in its tree.
func (c *clone) submodules(ctx context.Context, id string, links []file) error {
	if c.level == maxLevel {
		return c.noModules("submodules within each other more than %d deep", maxLevel)
	}
	if c.modules += len(links); c.modules > maxModules {
		return c.noModules("more than %d submodules", maxModules)
	}
	var text []byte
	err := c.job.run(ctx, false, nil, func(r io.Reader) (err error) {
		text, err = io.ReadAll(&upTo{r: r, n: maxModuleText})
		return err
	}, "config", "-z", "--no-includes", "--blob", id+":.gitmodules", "--get-regexp", `^submodule\..*\.(path|url)$`)
	var f *failure
	if err != nil && !errors.As(err, &f) {
		return c.job.upstream(err)
	}
	urls := readModules(string(text))
	for _, l := range links {
		if err := c.module(ctx, l, urls[l.path]); err != nil {
			return err
		}
	}
	return nil
}

func (c *clone) noModules(format string, args ...any) error {
	return status.New(status.InvalidArgument, ReasonSubmodules, "the repository %s has %s", c.job.name, fmt.Sprintf(format, args...)).
		WithHint("put the files into the repository itself")
}

// module brings one submodule, with a scratch repository of its own.
func (c *clone) module(ctx context.Context, l file, from string) (err error) {
	to, ok := moduleURL(c.job.url, from)
	if !ok {
		return c.noModules("a submodule %q whose URL is none of https or relative", l.path)
	}
	j := *c.job
	j.url, j.name = to, to
	if !sameOrigin(to, c.job.url) {
		j.want.Credential = nil
	}
	if j.protocol = "https"; strings.HasPrefix(to, "http://") {
		j.protocol = "http"
	}
	pin, err := j.pin(ctx, to)
	if err != nil {
		return err
	}
	if j.scratch, err = newScratch(c.dir, j.uid, gitconfig(to, pin, j.want.Slug.Host, j.want.Credential)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.scratch.remove()) }()
	j.limits.Bytes -= c.moved
	if j.limits.Bytes < 1 {
		return c.job.tooLarge(errDisk)
	}
	sub := &clone{job: &j, dir: c.dir, tree: c.tree, report: c.report, under: joinUnder(c.under, l.path), level: c.level + 1, modules: c.modules}
	if err := sub.pinned(ctx, l.id); err != nil {
		return err
	}
	c.moved, c.modules = c.moved+sub.moved, sub.modules
	return nil
}

// pinned brings the files of a submodule's commit.
func (c *clone) pinned(ctx context.Context, id string) error {
	if err := c.objects(ctx, id, "HEAD"); err != nil {
		return err
	}
	raw, err := c.job.object(ctx, id)
	if err != nil {
		return err
	}
	k, err := commit.Parse(raw)
	if err != nil {
		return err
	}
	if k.ID != id {
		return status.New(status.InvalidArgument, ReasonProtocol, "the repository %s has a commit whose id is another's", c.job.name)
	}
	return c.filled(ctx, k)
}

func joinUnder(under, path string) string {
	if under == "" {
		return path
	}
	return under + "/" + path
}

// readModules reads the output of git config -z: "KEY LF VALUE NUL" each. It
// returns URLs by path; a submodule with a second path or URL has none.
func readModules(text string) map[string]string {
	type module struct {
		path, url string
		twice     bool
	}
	all := map[string]*module{}
	for text != "" {
		var entry string
		entry, text, _ = strings.Cut(text, "\x00")
		key, value, _ := strings.Cut(entry, "\n")
		key, ok := strings.CutPrefix(key, "submodule.")
		dot := strings.LastIndexByte(key, '.')
		if !ok || dot < 0 {
			continue
		}
		m := all[key[:dot]]
		if m == nil {
			m = &module{}
			all[key[:dot]] = m
		}
		to := &m.path
		if key[dot+1:] == "url" {
			to = &m.url
		}
		m.twice = m.twice || *to != ""
		*to = value
	}
	urls := map[string]string{}
	for _, m := range all {
		if m.path == "" || m.twice {
			continue
		}
		if _, taken := urls[m.path]; taken {
			m.url = ""
		}
		urls[m.path] = m.url
	}
	return urls
}

// moduleURL is where a submodule comes from: an https URL without a user, or a
// path relative to the repository.
func moduleURL(base, s string) (string, bool) {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) || strings.HasPrefix(base, "file:") {
		return "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	if strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") {
		b, err := url.Parse(base + "/")
		if err != nil {
			return "", false
		}
		u = b.ResolveReference(u)
		return u.String(), true
	}
	return s, u.Scheme == "https" && u.Host != ""
}

func sameOrigin(a, b string) bool {
	u, err := url.Parse(a)
	v, err2 := url.Parse(b)
	return err == nil && err2 == nil && sameHost(u, v)
}
