package builds_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider/builds"
)

const lentCanary = "lent-canary-31415"

// lent is a request of a private repository.
func lent(id byte) builds.Request {
	r := commitOf("p")
	r.Lent, r.RequestID = &git.Credential{Username: "u", Password: lentCanary}, [16]byte{id}
	return r
}

// searched fails the test where the credential is in a record, a file, an event or a log.
func (w *world) searched(q *builds.Queue, events []builds.Event) {
	w.t.Helper()
	look := func(where string, b []byte) {
		w.t.Helper()
		if bytes.Contains(b, []byte(lentCanary)) {
			w.t.Errorf("the credential is in %s", where)
		}
	}
	all, err := w.docs.All(w.t.Context())
	must(w.t, err)
	for id, doc := range all {
		look("the record", doc)
		log, _, err := q.Log(w.t.Context(), "*", id)
		if err == nil {
			look("the log", log)
		}
	}
	if len(all) == 0 {
		w.t.Error("there is no record to look at")
	}
	for _, e := range events {
		b, err := json.Marshal(e)
		must(w.t, err)
		look("an event", b)
	}
	w.mu.Lock()
	said := slices.Clone(w.said)
	w.mu.Unlock()
	for _, b := range said {
		look("the provenance", fmt.Appendf(nil, "%+v", b))
	}
	must(w.t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		look(path, b)
		return err
	}))
}

// TestLent: a credential is there for the fetch of its build alone, and is stored
// nowhere at any step.
func TestLent(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	for _, step := range []string{"resolve", "build"} {
		w.hold(step)
		b, err := q.Submit(t.Context(), lent(step[0]))
		must(t, err)
		waits, err := q.Submit(t.Context(), lent(step[0]+1))
		must(t, err)
		<-w.at
		w.searched(q, nil)
		w.hold("")
		w.goOn <- struct{}{}
		for _, id := range []string{b.ID, waits.ID} {
			b, events := ended(t, q, id)
			if b.Status != builds.Succeeded {
				t.Errorf("%+v", b)
			}
			w.searched(q, events)
		}
	}
	public, err := q.Submit(t.Context(), commitOf("p"))
	must(t, err)
	ended(t, q, public.ID)
	if len(w.with) != 5 || w.with[4] != nil {
		t.Fatalf("fetched with %d credentials: %v", len(w.with), w.with)
	}
	for _, c := range w.with[:4] {
		if c == nil || c.Password != lentCanary {
			t.Error("a commit was fetched without the credential")
		}
	}
}

// TestLentIsGone: after a restart a build that needs its credential fails, wherever it
// was, with a reason that says what to do; others go on.
func TestLentIsGone(t *testing.T) {
	for _, step := range []string{"resolve", "build"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			q, stop := w.run()
			w.hold(step)
			runs, err := q.Submit(t.Context(), lent(1))
			must(t, err)
			<-w.at
			waits, err := q.Submit(t.Context(), lent(2))
			must(t, err)
			public, err := q.Submit(t.Context(), commitOf("other"))
			must(t, err)
			stop()
			w.hold("")
			fetched := len(w.with)
			q, _ = w.run()
			for _, id := range []string{runs.ID, waits.ID} {
				b, events := ended(t, q, id)
				if b.Status != builds.Failed || b.Code != "build.credential_lost" || b.Hint == "" || b.Error == "" {
					t.Errorf("%+v", b)
				}
				refused(t, q.Failure(t.Context(), b.Namespace, id), status.Unavailable, "build.credential_lost")
				w.searched(q, events)
			}
			if b, _ := ended(t, q, public.ID); b.Status != builds.Succeeded {
				t.Errorf("%+v", b)
			}
			if len(w.with) != fetched+1 {
				t.Errorf("%d commits were fetched after the restart", len(w.with)-fetched)
			}
			// Asked for once more it is another build.
			if b, err := q.Submit(t.Context(), lent(1)); err != nil || b.ID != runs.ID {
				t.Errorf("%+v, %v", b, err)
			}
			again, err := q.Submit(t.Context(), lent(3))
			must(t, err)
			if b, _ := ended(t, q, again.ID); b.Status != builds.Succeeded {
				t.Errorf("%+v", b)
			}
		})
	}
}

// TestLentAndCancelled: a build that ends before it was begun leaves nothing.
func TestLentAndCancelled(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	w.hold("build")
	_, err := q.Submit(t.Context(), w.upload("x"))
	must(t, err)
	<-w.at
	b, err := q.Submit(t.Context(), lent(1))
	must(t, err)
	b, err = q.Cancel(t.Context(), b.Namespace, b.ID)
	if err != nil || b.Status != builds.Failed {
		t.Errorf("%+v, %v", b, err)
	}
	w.searched(q, nil)
}

func TestLentRefusals(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	twice := lent(1)
	twice.Git.Want.Credential = &git.Credential{Password: "another"}
	for name, r := range map[string]builds.Request{
		"for files":           w.upload("x", func(r *builds.Request) { r.Lent = &git.Credential{Password: lentCanary} }),
		"beside another":      twice,
		"without a namespace": {Git: lent(1).Git, Lent: lent(1).Lent},
	} {
		_, err := q.Submit(t.Context(), r)
		if status.ReasonOf(err) != "build.invalid" || bytes.Contains([]byte(err.Error()), []byte(lentCanary)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
