package builds_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider/builds"
)

func in(ns string) func(*builds.Request) {
	return func(r *builds.Request) { r.Namespace = ns }
}

// TestFairness: whoever submits many waits for his own.
func TestFairness(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	w.hold("build")
	first, err := q.Submit(t.Context(), w.upload("x", in("a")))
	must(t, err)
	<-w.at
	w.hold("")
	var all []string
	for _, ns := range []string{"a", "a", "a", "a", "b", "b", "c"} {
		b, err := q.Submit(t.Context(), w.upload("x", in(ns)))
		must(t, err)
		all = append(all, b.ID)
	}
	w.goOn <- struct{}{}
	ended(t, q, first.ID)
	for _, id := range all {
		ended(t, q, id)
	}
	if diff := cmp.Diff(strings.Split("a b c a b a a a", " "), w.order); diff != "" {
		t.Error(diff)
	}
}

func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	w.hold("build")
	_, err := q.Submit(t.Context(), w.upload("x", in("a")))
	must(t, err)
	<-w.at
	for range 8 {
		_, err := q.Submit(t.Context(), w.upload("x", in("a")))
		must(t, err)
	}
	_, err = q.Submit(t.Context(), w.upload("x", in("a")))
	refused(t, err, status.ResourceExhausted, "build.queue")
	for n := range 7 {
		for range 8 {
			_, err := q.Submit(t.Context(), w.upload("x", in("b"+string(rune('a'+n)))))
			must(t, err)
		}
	}
	_, err = q.Submit(t.Context(), w.upload("x", in("z")))
	refused(t, err, status.Unavailable, "build.queue_full")
	page, total, err := q.List(t.Context(), "a", "app", builds.Page{Number: 2, Size: 5})
	if err != nil || total != 9 || len(page) != 4 {
		t.Errorf("got %d of %d, %v", len(page), total, err)
	}
	if none, total, _ := q.List(t.Context(), "a", "other", builds.Page{}); total != 0 || len(none) != 0 {
		t.Errorf("got %d", total)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	q, _ := w.run()
	w.hold("build")
	runs, err := q.Submit(t.Context(), w.upload("x"))
	must(t, err)
	<-w.at
	waits, err := q.Submit(t.Context(), w.upload("x"))
	must(t, err)
	for _, id := range []string{waits.ID, runs.ID} {
		b, err := q.Cancel(t.Context(), "team", id)
		must(t, err)
		if b.Status != builds.Failed || b.Error != "cancelled" || b.Progress == 100 {
			t.Errorf("got %+v", b)
		}
		_, err = q.Cancel(t.Context(), "team", id)
		refused(t, err, status.Conflict, "build.ended")
	}
	if len(w.pins)+len(w.arts) > 0 || len(w.order) != 1 {
		t.Errorf("left %v, %v; ran %v", w.pins, w.arts, w.order)
	}
}

// TestRestart kills the process at each step. A build that waited goes on, one that
// ran is begun once more, and then fails with the reason: none is lost.
func TestRestart(t *testing.T) {
	for _, step := range []string{"resolve", "fetch", "build", "import", "sign", "create", "upload"} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			q, stop := w.run()
			w.hold(step)
			ran, err := q.Submit(t.Context(), builds.Request{Namespace: "team", Git: &builds.GitSource{Want: git.Want{Slug: slug.Slug{Host: slug.GitHub, Repo: "o/r"}}}})
			must(t, err)
			<-w.at
			waited, err := q.Submit(t.Context(), w.upload("waited"))
			must(t, err)
			stop()
			before, err := q.Build(t.Context(), "team", ran.ID)
			must(t, err)

			// The second attempt succeeds.
			saved := w.snapshot()
			w.hold("")
			q, stop = w.run()
			for _, id := range []string{ran.ID, waited.ID} {
				b, _ := ended(t, q, id)
				if b.Status != builds.Succeeded || b.Started == nil {
					t.Errorf("got %+v", b)
				}
				if log, _, _ := q.Log(t.Context(), "team", id); (id == ran.ID) != strings.Contains(string(log), "begins again") {
					t.Errorf("the log is %q", log)
				}
			}
			stop()
			if len(w.pins) != 2 || len(w.arts) != 2 {
				t.Errorf("pins %v, %d artifacts", w.pins, len(w.arts))
			}
			for owner, n := range w.pins {
				if n != 1 {
					t.Errorf("%s pins %d times", owner, n)
				}
			}

			// A process that ends a second time below it.
			w = saved(t)
			w.hold(step)
			q, stop = w.run()
			<-w.at
			b, err := q.Build(t.Context(), "team", ran.ID)
			if must(t, err); b.Progress < before.Progress {
				t.Errorf("progress went from %d to %d", before.Progress, b.Progress)
			}
			stop()
			w.hold("")
			q, stop = w.run()
			b, _ = ended(t, q, ran.ID)
			if b.Status != builds.Failed || b.Code != "build.interrupted" || !strings.Contains(b.Error, "2 times") {
				t.Errorf("got %+v", b)
			}
			if b, _ = ended(t, q, waited.ID); b.Status != builds.Succeeded {
				t.Errorf("got %+v", b)
			}
			stop()
			if len(w.pins) != 1 || len(w.arts) != 1 {
				t.Errorf("pins %v, %d artifacts", w.pins, len(w.arts))
			}
		})
	}
}

// TestLongLog: the beginning and the end are kept.
func TestLongLog(t *testing.T) {
	w := newWorld(t)
	w.cfg.Builder = chatty{w}
	q, _ := w.run()
	b, err := q.Submit(t.Context(), w.upload("x"))
	must(t, err)
	_, events := ended(t, q, b.ID)
	log, _, err := q.Log(t.Context(), "team", b.ID)
	must(t, err)
	text := string(log)
	if len(log) > 1<<20+100 || !strings.Contains(text, "line 0 ") || !strings.HasSuffix(text, "line 39999 "+strings.Repeat("x", 50)+"\n") || !strings.Contains(text, "left out") {
		t.Errorf("%d bytes: %.100s", len(log), text)
	}
	if n := slices.IndexFunc(events, func(e builds.Event) bool { return len(e.Text) > 4<<10 }); n >= 0 {
		t.Errorf("a line has %d bytes", len(events[n].Text))
	}
}

// TestKeptOfDeletedApps: what is remembered of a namespace has a bound, however many apps
// it makes and deletes.
func TestKeptOfDeletedApps(t *testing.T) {
	const kept, more = 512, 5
	w := newWorld(t)
	q, _ := w.run()
	other, err := q.Submit(t.Context(), w.upload("x", in("other")))
	must(t, err)
	ended(t, q, other.ID)
	w.broken["detect"] = status.New(status.InvalidArgument, "entry.none", "there is nothing to run")
	var last builds.Build
	for n := range kept + more {
		last, err = q.Submit(t.Context(), w.upload("x", in("a"), func(r *builds.Request) { r.AppID = fmt.Sprintf("app-%d", n) }))
		must(t, err)
		ended(t, q, last.ID)
	}
	eventually(t, "builds of apps that are gone are kept", func() bool {
		_, total, err := q.List(t.Context(), "a", "", builds.Page{})
		must(t, err)
		return total == kept
	})
	for ns, id := range map[string]string{"a": last.ID, "other": other.ID} {
		_, err := q.Build(t.Context(), ns, id)
		must(t, err)
	}
}
