package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"

	"apocryph/attest/commit"
	"apocryph/p2p/source"
	"apocryph/proto/status"
)

const (
	// maxRedirects is how many places an archive may be sent to: GitHub uses one
	// for the archive and one for a repository that was renamed.
	maxRedirects = 3
	// archiveRatio is how much a byte of an archive may become: more than gzip
	// can, as the caps on bytes and entries are what counts here.
	archiveRatio = 1100
)

// archive takes GitHub's tarball of a commit. A reason says why it is of no
// use, and a clone is to be tried; an error says that nothing is.
func (f *Fetcher) archive(ctx context.Context, j *job, c commit.Commit, tree *source.Tree, report func(string, int64, int64)) (out Fetched, reason string, err error) {
	body, reason, err := f.download(ctx, j, c.ID)
	if err != nil || reason != "" {
		return Fetched{}, reason, err
	}
	defer body.Close()
	limits := source.DefaultLimits()
	limits.Bytes, limits.FileBytes, limits.Entries, limits.Ratio = j.limits.Bytes, j.limits.Bytes, j.limits.Entries, archiveRatio
	scratch, err := source.NewTree(f.cfg.Dir, limits)
	if err != nil {
		return Fetched{}, "", err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	in := &counted{r: body, report: func(n int64) { report(StageArchive, n, 0) }}
	if reason, err = unpack(ctx, scratch, in); err != nil || reason != "" {
		return Fetched{Bytes: in.n}, reason, err
	}
	report(StageCheck, 0, 0)
	if err := j.compare(scratch, "", nil, c.Tree); err != nil {
		if status.ReasonOf(err) == "" {
			return Fetched{}, "", err
		}
		return Fetched{Bytes: in.n}, "the archive is not the tree of the commit", nil
	}
	if err := copyTree(ctx, tree, scratch, report); err != nil {
		return Fetched{}, "", err
	}
	return Fetched{Method: MethodArchive, Bytes: in.n}, "", nil
}

// unpack reads an archive into a tree. What is wrong with the archive itself is
// a reason; too much of it, and what is wrong here, is an error.
func unpack(ctx context.Context, tree *source.Tree, r io.Reader) (string, error) {
	kind, err := tree.Add(ctx, "archive.tar.gz", r)
	if err == nil && kind != source.KindTarGz {
		return "the archive is none", nil
	}
	if err == nil {
		err = tree.StripComponents(1)
	}
	switch reason := status.ReasonOf(err); {
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case reason == source.ReasonTooLarge, reason == source.ReasonDiskFull:
		return "", err
	case reason != "":
		return "the archive cannot be read (" + reason + ")", nil
	}
	return "the archive broke off", nil
}

// download asks for an archive and follows redirects itself: each is https (or
// stays on the host), and only the first host gets the credential.
func (f *Fetcher) download(ctx context.Context, j *job, id string) (io.ReadCloser, string, error) {
	next, err := url.Parse(f.cfg.Bases.GitHubAPI + "/repos/" + j.want.Slug.Repo + "/tarball/" + id)
	if err != nil {
		return nil, "", fmt.Errorf("asking for an archive: %w", err)
	}
	first := next
	for range maxRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil)
		if err != nil {
			return nil, "", errors.New("asking for an archive: the address is malformed")
		}
		req.Header.Set("Accept", "application/vnd.github+json")
		req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
		req.Header.Set("User-Agent", "apocryph")
		// As it is, for the checks that follow: no transparent decompression.
		req.Header.Set("Accept-Encoding", "identity")
		if c := j.want.Credential; c != nil && sameHost(next, first) {
			req.Header.Set("Authorization", basic(j.want.Slug.Host, c))
		}
		resp, err := f.cfg.HTTP.RoundTrip(req)
		if ctx.Err() != nil {
			if err == nil {
				resp.Body.Close()
			}
			return nil, "", context.Cause(ctx)
		}
		if err != nil {
			// The text of it has the address, in which GitHub puts a token.
			return nil, "the archive's host does not answer", nil
		}
		if resp.StatusCode == http.StatusOK {
			return resp.Body, "", nil
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 3 {
			return nil, "the archive's host answers " + strconv.Itoa(resp.StatusCode), nil
		}
		to, err := next.Parse(resp.Header.Get("Location"))
		if err != nil || resp.Header.Get("Location") == "" || to.User != nil || to.Scheme != "https" && !sameHost(to, next) {
			return nil, "the archive's host sends to another one without https", nil
		}
		next = to
	}
	return nil, "the archive's host sends from one place to the next", nil
}

func sameHost(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// copyTree adds the files of one tree to another.
func copyTree(ctx context.Context, to, from *source.Tree, report func(string, int64, int64)) error {
	fsys, done := from.FS(), int64(0)
	_, total := from.Size()
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading the archive's files: %w", err)
		}
		if done++; done%256 == 0 {
			report(StageFiles, done, int64(total))
		}
		switch d.Type() {
		case fs.ModeDir:
			return nil
		case fs.ModeSymlink:
			target, err := fs.ReadLink(fsys, name)
			if err != nil {
				return fmt.Errorf("reading the archive's files: %w", err)
			}
			return to.AddLink(ctx, name, target)
		}
		file, err := fsys.Open(name)
		if err != nil {
			return fmt.Errorf("reading the archive's files: %w", err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return fmt.Errorf("reading the archive's files: %w", err)
		}
		return to.AddFile(ctx, name, file, info.Mode()&0o100 != 0)
	})
}

// counted counts what is read, and tells now and then.
type counted struct {
	r      io.Reader
	n, at  int64
	report func(int64)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if c.n-c.at >= 1<<20 || err != nil {
		c.at = c.n
		c.report(c.n)
	}
	return n, err
}
