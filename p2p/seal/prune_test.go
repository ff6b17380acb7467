package seal

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

func exists(t *testing.T, b manifest.Blob) bool {
	t.Helper()
	_, err := os.Stat(b.Path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestPrune(t *testing.T) {
	f := newFixture(t)
	var blobs []manifest.Blob
	for _, s := range []string{"oldest", "middle", "newest"} {
		blobs = append(blobs, f.seal(t, imageOf(layer(oci.MediaTypeLayer, text(1000, s)))).Layers[0])
		f.now = f.now.Add(24 * time.Hour)
	}
	left := func() (all []bool) {
		for _, b := range blobs {
			all = append(all, exists(t, b))
		}
		return all
	}
	prune := func(max int64, keep ...manifest.Blob) int64 {
		t.Helper()
		freed, err := f.Prune(t.Context(), func(digest string) bool {
			for _, k := range keep {
				if k.Digest == digest {
					return true
				}
			}
			return false
		}, max)
		must(t, err)
		return freed
	}
	for _, step := range []struct {
		max   int64
		keep  []manifest.Blob
		freed int64
		left  [3]bool
	}{
		{1 << 20, nil, 0, [3]bool{true, true, true}},
		{0, blobs, 0, [3]bool{true, true, true}},
		{6000, blobs[:1], 6000, [3]bool{true, false, true}},
		{0, nil, 12000, [3]bool{false, false, false}},
	} {
		freed := prune(step.max, step.keep...)
		if got := [3]bool(left()); freed != step.freed || got != step.left {
			t.Errorf("%+v: freed %d, left %v", step, freed, got)
		}
	}
	if len(f.cache.entries) != 0 {
		t.Errorf("%d entries left", len(f.cache.entries))
	}
}

func TestPruneKeepsWhatIsFresh(t *testing.T) {
	f := newFixture(t)
	l := imageOf(layer(oci.MediaTypeLayer, []byte("x")))
	blob := f.seal(t, l).Layers[0]
	none := func(string) bool { return false }
	f.now = f.now.Add(grace - time.Second)
	if _, err := f.Prune(t.Context(), none, 0); err != nil || !exists(t, blob) {
		t.Errorf("a blob of a running deploy is gone, error %v", err)
	}
	// Using it again counts.
	f.now = f.now.Add(2 * grace)
	f.seal(t, l)
	if _, err := f.Prune(t.Context(), none, 0); err != nil || !exists(t, blob) {
		t.Errorf("a blob that was just used again is gone, error %v", err)
	}
}

func TestPruneDropsEntriesThatAreWorthNothing(t *testing.T) {
	f := newFixture(t)
	blob := f.seal(t, imageOf(layer(oci.MediaTypeLayer, []byte("x")))).Layers[0]
	must(t, os.Remove(blob.Path))
	must(t, f.cache.Put("garbage", []byte("{")))
	f.now = f.now.Add(2 * grace)
	freed, err := f.Prune(t.Context(), func(string) bool { return false }, 0)
	if err != nil || freed != 0 || len(f.cache.entries) != 0 {
		t.Errorf("freed %d, error %v, entries %v", freed, err, f.cache.entries)
	}
}

func TestPruneWhileSealing(t *testing.T) {
	f := newFixture(t)
	release, err := f.cfg.Guard.Share(context.Background())
	must(t, err)
	defer release()
	if _, err := f.Prune(t.Context(), func(string) bool { return false }, 0); status.CodeOf(err) != status.Conflict {
		t.Errorf("got %v", err)
	}
}

// TestKilledInBetween restores what a kill leaves at each step of a commit.
func TestKilledInBetween(t *testing.T) {
	f := newFixture(t)
	must(t, os.MkdirAll(f.tempDir(), 0o700))
	temp := filepath.Join(f.tempDir(), "blob-1")
	must(t, os.WriteFile(temp, []byte("half"), 0o600))
	release, err := f.cfg.Guard.Share(t.Context())
	must(t, err)
	img := imageOf(layer(oci.MediaTypeLayer, []byte("x")))
	f.seal(t, img)
	if _, err := os.Stat(temp); err != nil {
		t.Errorf("the file of another process that seals was removed: %v", err)
	}
	release()
	first := f.seal(t, img)
	if _, err := os.Stat(temp); !os.IsNotExist(err) {
		t.Errorf("the file of a killed process is still there: %v", err)
	}
	// The cache has the entry, the rename never happened.
	must(t, os.Remove(first.Layers[0].Path))
	if second := f.seal(t, img); second.ReusedBytes != 0 || !exists(t, second.Layers[0]) {
		t.Error("an entry without a file counted")
	}
}
