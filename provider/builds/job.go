package builds

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider"
)

// job is one build in this process.
type job struct {
	id, ns, scope string
	created       time.Time
	request       [16]byte
	// key seals the build's files.
	key []byte

	mu    sync.Mutex // guards what follows
	now   Build
	asked asked
	// lent is a credential that is in memory alone, until the files were fetched.
	lent    *git.Credential
	image   *Image
	tries   int
	class   status.Code
	seq     uint64
	events  []Event
	changed chan struct{}
	log     *buildLog
	// cancel ends the attempt that runs; cancelled says that the caller wants so.
	cancel    context.CancelFunc
	cancelled bool
	// told is set when the end has been.
	told bool
}

// kept is a build as it is stored.
type kept struct {
	Build
	Asked asked  `json:"asked"`
	Image *Image `json:"sealed,omitempty"`
	Tries int    `json:"tries,omitempty"`
	// Class is that of the error.
	Class   status.Code `json:"class,omitempty"`
	Seq     uint64      `json:"seq"`
	Key     []byte      `json:"file_key"`
	Request []byte      `json:"request_id"`
}

func newJob(b Build) *job {
	scope := b.AppID
	if scope == "" {
		scope = "ns:" + b.Namespace
	}
	return &job{id: b.ID, ns: b.Namespace, scope: scope, created: b.Created, now: b, changed: make(chan struct{}), told: b.Status.Ended()}
}

func (j *job) get() Build {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now
}

// owner is who pins the image of a build.
func (j *job) owner() provider.InstanceID { return provider.InstanceID(provider.MadePrefix + j.id) }

// put stores a build. The caller holds j.mu.
func (q *Queue) put(ctx context.Context, j *job, now Build, seq uint64) error {
	raw, err := json.Marshal(kept{Build: now, Asked: j.asked, Image: j.image, Tries: j.tries, Class: j.class, Seq: seq, Key: j.key, Request: j.request[:]})
	if err != nil {
		return fmt.Errorf("encoding build %s: %w", j.id, err)
	}
	return q.cfg.Documents.Put(ctx, j.id, raw)
}

// update stores a change and then tells of it. Where it cannot be stored nothing
// has changed.
func (q *Queue) update(ctx context.Context, j *job, change func(*Build) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	next := j.now
	if err := change(&next); err != nil {
		return err
	}
	if next.Status.Ended() {
		// It is needed no more, and may have a credential.
		j.asked, j.lent = asked{}, nil
	}
	if err := q.put(ctx, j, next, j.seq+1); err != nil {
		return err
	}
	j.now = next
	kind := "status"
	if next.Status.Ended() {
		kind, j.told = "result", true
	}
	view := next
	j.tell(Event{Kind: kind, At: q.cfg.Now(), Build: &view})
	return nil
}
