package builds_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"apocryph/provider/builds"
	"apocryph/provider/providertest"
)

// asking asks for the image while the end of its build is being stored: as soon as
// anybody can hear of that end.
type asking struct {
	*providertest.Documents
	q      *builds.Queue
	answer chan error
}

func (a *asking) Put(ctx context.Context, name string, value []byte) error {
	var b builds.Build
	if err := json.Unmarshal(value, &b); err != nil {
		return err
	}
	if b.Status == builds.Succeeded {
		begun := make(chan struct{})
		go func() {
			close(begun)
			_, ok, err := a.q.Image(context.Background(), b.Namespace, b.ArtifactID)
			if err == nil && !ok {
				err = fmt.Errorf("no image of artifact %s", b.ArtifactID)
			}
			a.answer <- err
		}()
		<-begun
		for range 1000 {
			runtime.Gosched()
		}
	}
	return a.Documents.Put(ctx, name, value)
}

// TestImageIsThereAtTheEnd: a deployment that hears of the end of its build asks for the
// image at once.
func TestImageIsThereAtTheEnd(t *testing.T) {
	w := newWorld(t)
	a := &asking{Documents: w.docs, answer: make(chan error, 1)}
	w.cfg.Documents = a
	q, _ := w.run()
	a.q = q
	b, err := q.Submit(t.Context(), w.upload("print(1)"))
	must(t, err)
	if b, _ = ended(t, q, b.ID); b.Status != builds.Succeeded {
		t.Fatalf("got %+v", b)
	}
	if err := <-a.answer; err != nil {
		t.Error(err)
	}
}

// steady reports its progress, not in order.
type steady struct{ *world }

func (s steady) Build(ctx context.Context, j builds.Job) (builds.Made, error) {
	for _, percent := range []int{-5, 10, 50, 20, 50, 1000} {
		j.Progress(percent)
	}
	return s.world.Build(ctx, j)
}

// TestProgressOfTheBuilder: it is shown between those of the stages, and never goes back.
func TestProgressOfTheBuilder(t *testing.T) {
	w := newWorld(t)
	w.cfg.Builder = steady{w}
	q, _ := w.run()
	b, err := q.Submit(t.Context(), w.upload("print(1)"))
	must(t, err)
	_, events := ended(t, q, b.ID)
	var seen []int
	for _, e := range events {
		if e.Build != nil && e.Build.Stage == "compiling" {
			seen = append(seen, e.Build.Progress)
		}
	}
	if !slices.Equal(seen, []int{30, 35, 55, 80}) {
		t.Errorf("got %v", seen)
	}
}
