package providertest_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"apocryph/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDocuments: nobody's bytes are anybody else's.
func TestDocuments(t *testing.T) {
	d, value := providertest.NewDocuments(), []byte("one")
	providertest.Must(t, d.Put(t.Context(), "a", value))
	value[0] = 'X'
	before := d.Clone()
	all, err := d.All(t.Context())
	providertest.Must(t, err)
	all["a"][0], all["b"] = 'Y', nil
	d.Get("a")[0] = 'Z'
	if got := d.Get("a"); string(got) != "one" || d.Len() != 1 || d.Get("b") != nil {
		t.Errorf("%d documents, a is %q", d.Len(), got)
	}
	full := errors.New("full")
	d.Fail(full)
	if err := d.Put(t.Context(), "a", nil); err != full || string(d.Get("a")) != "one" {
		t.Errorf("got %v", err)
	}
	d.Fail(nil)
	providertest.Must(t, d.Put(t.Context(), "b", nil))
	providertest.Must(t, d.Delete(t.Context(), "a"))
	if d.Len() != 1 || before.Len() != 1 || string(before.Get("a")) != "one" {
		t.Errorf("%d now, %d before", d.Len(), before.Len())
	}
}

func TestRun(t *testing.T) {
	ready, ended := make(chan struct{}), false
	stop := providertest.Run(t, func(ctx context.Context) error {
		close(ready)
		<-ctx.Done()
		ended = true
		return nil
	}, ready)
	stop()
	stop()
	if !ended {
		t.Error("it goes on")
	}
}
