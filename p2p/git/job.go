package git

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"apocryph/manifest/slug"
	"apocryph/proto/status"
)

// job is one call: a repository, a scratch repository, and the way git runs for it.
type job struct {
	want Want
	// url is what git is given, name what errors and results show.
	url, name string
	program   string
	protocol  string
	// uid is who git runs as, negative for the user of this process.
	uid int
	// whole says that the last commit of a branch is fetched with its files.
	whole   bool
	limits  Limits
	scratch *scratch
	log     *slog.Logger
	// pin is [Fetcher.pin], for submodules.
	pin func(ctx context.Context, repository string) (string, error)
}

// start makes a job for the repository of a want. Its end removes the scratch
// files, and ctx has the time that is allowed.
func (f *Fetcher) start(ctx context.Context, w Want) (context.Context, *job, func(error) error, error) {
	j := &job{
		want: w, url: w.Slug.CloneURL(f.cfg.Bases), name: w.Slug.Canonical(f.cfg.Bases),
		program: f.cfg.Git, limits: f.cfg.Limits, uid: -1, log: f.log, pin: f.pin,
	}
	if err := checkCredential(w.Credential); err != nil {
		return nil, nil, nil, err
	}
	if os.Geteuid() == 0 {
		j.uid = nobody
	}
	if w.Slug.Host == slug.File {
		if err := j.local(w.Slug.Repo, f.cfg.AllowFile); err != nil {
			return nil, nil, nil, err
		}
	}
	u, err := url.Parse(j.url)
	if err != nil || w.Slug.Repo == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file" {
		return nil, nil, nil, status.New(status.InvalidArgument, ReasonRepository, "the slug names no repository")
	}
	j.protocol = u.Scheme
	pin, err := f.pin(ctx, j.url)
	if err != nil {
		return nil, nil, nil, err
	}
	if j.scratch, err = newScratch(f.cfg.Dir, j.uid, gitconfig(j.url, pin, w.Slug.Host, w.Credential)); err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, j.limits.Time, errTime)
	return ctx, j, func(err error) error {
		err = j.ended(ctx, err)
		cancel()
		return errors.Join(err, j.scratch.remove())
	}, nil
}

// checkCredential refuses what would write another line into a header or a
// file of configuration.
func checkCredential(c *Credential) error {
	if c == nil {
		return nil
	}
	for _, s := range []string{c.Username, c.Password} {
		if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(s) > 4096 {
			return status.New(status.InvalidArgument, ReasonAuth, "the credential has control characters in it, or more than 4096 bytes")
		}
	}
	if strings.Contains(c.Username, ":") {
		return status.New(status.InvalidArgument, ReasonAuth, "the user name of the credential has a colon in it")
	}
	return nil
}

// local finds a repository of this machine that the operator allows. Links are
// followed first, so that none leads out of what is allowed. Git runs as its
// owner, who can read it.
func (j *job) local(path string, allowed []string) error {
	real, err := filepath.EvalSymlinks(path)
	ok := false
	for _, a := range allowed {
		below, failed := filepath.EvalSymlinks(a)
		ok = ok || failed == nil && err == nil && (real == below || strings.HasPrefix(real, strings.TrimSuffix(below, "/")+"/"))
	}
	if !ok {
		return status.New(status.PermissionDenied, ReasonFile, "the repository %s is not one that the operator allows", j.name).
			WithHint("name a repository on a host, or ask the operator to allow its path")
	}
	info, err := os.Stat(real)
	if err != nil {
		return status.Wrap(err, status.InvalidArgument, ReasonRepository, "there is no repository %s", j.name)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && j.uid >= 0 {
		j.uid = int(owner.Uid)
	}
	j.url = (&url.URL{Scheme: "file", Path: real}).String()
	return nil
}
