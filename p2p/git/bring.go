package git

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"apocryph/attest/commit"
	"apocryph/manifest/slug"
	"apocryph/p2p/source"
	"apocryph/proto/status"
)

// Bring is [Fetcher.Resolve], check and [Fetcher.Fetch], and check may be nil: what
// it refuses is not brought into the tree. Where the commit is the last one of
// its branch, and the host makes no archives, commit and files come by one fetch,
// which halves what is asked of the server and the processes that are started.
// Files of a commit that is refused have then been moved, within the limits, and
// are not looked at.
func (f *Fetcher) Bring(ctx context.Context, w Want, check func(Resolved) error, tree *source.Tree, report func(stage string, done, total int64)) (Resolved, Fetched, error) {
	if check == nil {
		check = func(Resolved) error { return nil }
	}
	if w.Slug.Host != slug.GitHub {
		r, out, done, err := f.atOnce(ctx, w, check, tree, report)
		if err != nil || done {
			return r, out, err
		}
		// It took a history to find the commit.
		out, err = f.Fetch(ctx, w, r, tree, report)
		return r, out, err
	}
	r, err := f.Resolve(ctx, w)
	if err == nil {
		err = check(r)
	}
	if err != nil {
		return Resolved{}, Fetched{}, err
	}
	out, err := f.Fetch(ctx, w, r, tree, report)
	return r, out, err
}

// atOnce resolves, and brings the files where that is done by the same fetch.
func (f *Fetcher) atOnce(ctx context.Context, w Want, check func(Resolved) error, tree *source.Tree, report func(string, int64, int64)) (r Resolved, out Fetched, done bool, err error) {
	if report == nil {
		report = func(string, int64, int64) {}
	}
	if err := checkWant(w); err != nil {
		return Resolved{}, Fetched{}, false, err
	}
	if bytes, entries := tree.Size(); bytes != 0 || entries != 0 {
		return Resolved{}, Fetched{}, false, errors.New("fetching a commit: the tree is not empty")
	}
	ctx, j, end, err := f.start(ctx, w)
	if err != nil {
		return Resolved{}, Fetched{}, false, err
	}
	defer func() { err = end(err) }()
	p, err := j.plan(ctx)
	if err != nil {
		return Resolved{}, Fetched{}, false, err
	}
	j.whole = p.near
	if r, err = j.resolve(ctx, p); err != nil {
		return Resolved{}, Fetched{}, false, err
	}
	if err := check(r); err != nil {
		return Resolved{}, Fetched{}, false, err
	}
	if !p.near || r.Commit.ID != r.Head {
		return r, Fetched{}, false, nil
	}
	cl := &clone{job: j, dir: f.cfg.Dir, tree: tree, report: report, moved: j.scratch.size()}
	report(StageClone, cl.moved, 0)
	if err := cl.filled(ctx, r.Commit); err != nil {
		return Resolved{}, Fetched{}, false, err
	}
	return r, Fetched{Method: MethodClone, Reason: noArchives, Bytes: cl.moved}, true, nil
}

// noArchives is why a tree came as a clone.
const noArchives = "the host makes no archives that are read here"

// commitOf is the commit, and its object, that a reference of the scratch repository names.
func (j *job) commitOf(ctx context.Context, name string) (id string, raw []byte, err error) {
	err = j.run(ctx, false, strings.NewReader(name+"^{commit}\n"), func(r io.Reader) (err error) {
		id, raw, err = readCommit(bufio.NewReader(r))
		return err
	}, "cat-file", "--batch")
	if errors.Is(err, errOutput) {
		return "", nil, j.tooLarge(err)
	}
	var failed *failure
	if errors.As(err, &failed) || errors.Is(err, errBatch) {
		return "", nil, status.Wrap(err, status.InvalidArgument, ReasonRef, "%q of the repository %s is no commit", j.want.Slug.Ref, j.name)
	}
	return id, raw, err
}

// readCommit reads "ID SP commit SP SIZE LF", the object and LF.
func readCommit(r *bufio.Reader) (id string, raw []byte, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", nil, errBatch
	}
	f := strings.Split(strings.TrimSuffix(string(line), "\n"), " ")
	if len(f) != 3 || !commit.IsID(f[0]) || f[1] != "commit" {
		return "", nil, errBatch
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil || size < 0 {
		return "", nil, errBatch
	}
	if size > maxCommit {
		return "", nil, errOutput
	}
	raw = make([]byte, size+1)
	if _, err := io.ReadFull(r, raw); err != nil || raw[size] != '\n' {
		return "", nil, errBatch
	}
	return f[0], raw[:size], nil
}
