package git

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"apocryph/attest/commit"
	"apocryph/proto/status"
)

// Commits returns the raw objects of the commits that id leads to and after does
// not, newest first, at most limit. The id must be on the want's branch; where after
// is not (any more), or is empty, all that id leads to is returned. More than limit
// is ResourceExhausted, [ReasonSize].
func (f *Fetcher) Commits(ctx context.Context, w Want, id, after string, limit int) (all [][]byte, err error) {
	if !commit.IsID(id) || after != "" && !commit.IsID(after) {
		return nil, status.New(status.InvalidArgument, ReasonRef, "got the commits %q and %q, want two full ids", id, after)
	}
	if err := checkWant(w); err != nil {
		return nil, err
	}
	ctx, j, end, err := f.start(ctx, w)
	if err != nil {
		return nil, err
	}
	defer func() { err = end(err) }()
	p, err := j.plan(ctx)
	if err != nil {
		return nil, err
	}
	if err := j.history(ctx, allCommits, p.branch); err != nil {
		return nil, err
	}
	if _, err := j.reach(ctx, local(p.branch), id, p); err != nil {
		return nil, err
	}
	args := []string{"rev-list", "--end-of-options", id}
	if after != "" {
		on, err := j.walk(ctx, local(p.branch), after)
		if err != nil {
			return nil, err
		}
		if len(on) == 1 {
			args = append(args, "^"+after)
		}
	}
	ids, err := j.list(ctx, limit, append(args, "--")...)
	if err != nil {
		return nil, err
	}
	return j.objects(ctx, ids)
}

// list reads ids, at most limit.
func (j *job) list(ctx context.Context, limit int, args ...string) (ids []string, err error) {
	err = j.run(ctx, false, nil, func(r io.Reader) error {
		s := bufio.NewScanner(&upTo{r: r, n: maxHistory})
		for s.Scan() {
			if len(ids) == limit {
				return status.New(status.ResourceExhausted, ReasonSize, "more than %d commits of the repository %s", limit, j.name)
			}
			ids = append(ids, s.Text())
		}
		return s.Err()
	}, args...)
	return ids, j.upstream(err)
}

// maxCommits caps, in bytes, the commits that are held at once: one may have 256 KiB of
// message, which git keeps in a few.
const maxCommits = 64 << 20

// objects reads raw commit objects.
func (j *job) objects(ctx context.Context, ids []string) (all [][]byte, err error) {
	err = j.run(ctx, false, strings.NewReader(strings.Join(ids, "\n")+"\n"), func(r io.Reader) (err error) {
		if all, err = readCommits(bufio.NewReader(r), ids); errors.Is(err, errOutput) {
			return status.New(status.ResourceExhausted, ReasonSize, "more than %d bytes of commits of the repository %s", maxCommits, j.name)
		}
		return err
	}, "cat-file", "--batch")
	return all, j.upstream(err)
}

// readCommits reads the commits that were asked for.
func readCommits(in *bufio.Reader, ids []string) (all [][]byte, err error) {
	sum := int64(0)
	for _, id := range ids {
		size, err := readHead(in, id, "commit")
		if err != nil || size > maxCommit {
			return nil, errBatch
		}
		if sum += size; sum > maxCommits {
			return nil, errOutput
		}
		raw := make([]byte, size+1)
		if _, err := io.ReadFull(in, raw); err != nil || raw[size] != '\n' {
			return nil, errBatch
		}
		if all = append(all, raw[:size]); commit.ID(raw[:size]) != id {
			return nil, errBatch
		}
	}
	return all, nil
}
