package provider_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"apocryph/manifest"
	"apocryph/provider"
)

// TestBuildsAreNoLeftOvers: a service removes at its start what no record of it
// knows, but not what runs builds, which somebody else looks after.
func TestBuildsAreNoLeftOvers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		img := w.images.stock[w.image("sleep").CID]
		for _, id := range []provider.InstanceID{"buildpod-abc-1", "buildpodabc-1-0"} {
			_, err := w.rt.Create(t.Context(), provider.InstanceSpec{
				ID: id, Pod: "p", Publisher: "p", Name: "x", Class: "runc",
				Containers: []provider.ContainerSpec{{
					Container: manifest.Container{Name: "x", Command: []string{"x"}, Resources: manifest.Resources{CPUMillis: 1, MemoryBytes: 1, PIDs: 1}},
					Image:     img,
				}},
			}, nil)
			must(t, err)
			w.images.owners[id] = map[string]bool{"x": true}
		}
		w.images.owners["buildpod-base-abc-1"] = map[string]bool{"x": true}
		n := w.run()
		later(time.Hour)
		if got := w.instances(); !slices.Equal(got, []string{"abc-1 down"}) {
			t.Errorf("instances: %v", got)
		}
		if got := w.owners(); !slices.Equal(got, []string{"abc-1", "base-abc-1"}) {
			t.Errorf("images: %v", got)
		}
		n.stop()
	})
}
