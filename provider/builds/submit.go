package builds

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"apocryph/proto/status"
)

// treeName is where the files of an upload are, in the build's directory.
const treeName = "tree"

// Submit stores a build, with its files, and puts it into the queue; what it returns
// goes on when ctx ends, and after a restart. Errors: invalid_argument
// "build.invalid"; resource_exhausted "build.queue" and unavailable
// "build.queue_full" with a time to come back.
func (q *Queue) Submit(ctx context.Context, r Request) (_ Build, err error) {
	if r.Tree != nil {
		defer func() { _ = r.Tree.Close() }() // what it leaves is swept
	}
	if err := r.check(); err != nil {
		return Build{}, err
	}
	if r.Git != nil && q.cfg.Sources == nil {
		return Build{}, status.New(status.Unimplemented, "build.no_git", "this provider fetches no sources").WithHint("upload the files")
	}
	if j := q.repeated(r.RequestID); j != nil {
		return j.get(), nil
	}
	free, err := q.reserve(r.Namespace)
	if err != nil {
		return Build{}, err
	}
	defer free()
	j := newJob(Build{
		ID: uuid.NewString(), Namespace: r.Namespace, AppID: r.AppID, DeploymentID: r.DeploymentID, Status: Pending, Stage: stageQueued,
		Features: r.Features, Source: Source{Type: "upload", ClaimedCommit: r.ClaimedCommit}, CreatedBy: r.By, Created: q.cfg.Now().UTC(),
	})
	j.request, j.key = r.RequestID, make([]byte, 32)
	if _, err := rand.Read(j.key); err != nil {
		return Build{}, fmt.Errorf("making a key: %w", err)
	}
	j.asked = asked{Git: r.Git, Runtime: r.Runtime, Entry: r.Entry, Args: r.Args, Port: r.Port, Lent: r.Lent != nil}
	j.lent = r.Lent
	if r.Git != nil {
		j.now.Source.Type = "git"
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(q.dir(j.id)))
		}
	}()
	if err := q.place(ctx, j, r); err != nil {
		return Build{}, err
	}
	j.mu.Lock()
	err = q.put(ctx, j, j.now, j.seq+1)
	if err == nil {
		view := j.now
		j.tell(Event{Kind: "status", At: q.cfg.Now(), Build: &view})
	}
	j.mu.Unlock()
	if err != nil {
		return Build{}, err
	}
	q.know(j)
	out := j.get()
	q.enqueue(j)
	return out, nil
}

// place makes the build's directory, with its files.
func (q *Queue) place(ctx context.Context, j *job, r Request) error {
	if err := os.Mkdir(q.dir(j.id), 0o700); err != nil {
		return fmt.Errorf("making room for a build: %w", err)
	}
	if r.Tree == nil {
		return syncDir(q.cfg.Dir)
	}
	digest, err := r.Tree.Digest()
	if err != nil {
		return err
	}
	j.now.Source.Digest = digest
	if err := r.Tree.Commit(ctx, filepath.Join(q.dir(j.id), treeName)); err != nil {
		return err
	}
	return syncDir(q.cfg.Dir)
}

// know adds a build to those of this process.
func (q *Queue) know(j *job) {
	j.mu.Lock()
	artifact, image := j.now.ArtifactID, j.image
	j.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs[j.id] = j
	if j.request != [16]byte{} {
		q.requests[j.request] = j.id
	}
	if artifact != "" && image != nil && image.Key != nil {
		q.made[artifact] = j.id
	}
}

func (q *Queue) repeated(id [16]byte) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if id == [16]byte{} {
		return nil
	}
	return q.jobs[q.requests[id]]
}
