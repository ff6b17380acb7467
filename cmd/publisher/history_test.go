package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/publisher"
)

func TestPrintHistory(t *testing.T) {
	at := time.Date(2026, 11, 21, 14, 0, 0, 0, time.Local)
	o := newOutput(false)
	err := o.g.printHistory(publisher.App{Name: "shop"}, []publisher.PodRevision{
		{Revision: 4, From: 1, Outcome: publisher.OutcomeUp, At: at, ManifestDigest: []byte("manifest-one"), Current: true, Images: []publisher.AppImage{{Container: "web", ImageID: "sha256:0123456789abcdef"}}},
		{Revision: 3, Outcome: publisher.OutcomeFailed, At: at, ManifestDigest: []byte("manifest-3"), Reason: "container web exited with code 3", Log: []string{"opening the database", "it is gone"}},
		{Revision: 1, Outcome: publisher.OutcomeUp, At: at, ManifestDigest: []byte("manifest-one"), Restorable: true, Images: []publisher.AppImage{{Container: "web", ImageID: "short", Commit: "c0ffee0123456789"}, {Container: "db"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `REV  WHEN                 OUTCOME  MANIFEST      IMAGES                      NOTE
4    2026-11-21 14:00:00  up       6d616e696665  web=0123456789ab            serves, revision 1 again
3    2026-11-21 14:00:00  failed   6d616e696665  -                           container web exited with code 3
1    2026-11-21 14:00:00  up       6d616e696665  web=short@c0ffee012345 db=  can be brought back

the last lines of revision 3:
  opening the database
  it is gone
`
	if diff := cmp.Diff(want, o.out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestPrintDryRun(t *testing.T) {
	changes := []manifest.Change{
		{Field: "containers[web].image", Kind: manifest.Changed, Old: "sha256:aa", New: "sha256:bb"},
		{Field: "containers[web].env.TOKEN", Kind: manifest.Changed},
		{Field: "replicas.min", Kind: manifest.Added, New: "2"},
		{Field: "volumes[data].size", Kind: manifest.Removed, Old: "1Gi"},
	}
	for name, c := range map[string]struct {
		result publisher.DryRunResult
		want   string
	}{
		"new": {publisher.DryRunResult{Name: "shop", Provider: publisher.Target{ID: "12D3"}, Changes: changes[2:3], Offer: offer.Offer{Asset: "USD", TotalPerHour: "0.5"}}, `shop would be new at 12D3:
  replicas.min  added: 2
price: 0.5 USD per hour, 360 per month
`},
		"update": {publisher.DryRunResult{Name: "shop", Replaces: 3, Changes: changes, More: 7}, `revision 3 of shop would be replaced:
  containers[web].image      sha256:aa -> sha256:bb
  containers[web].env.TOKEN  changed
  replicas.min               added: 2
  volumes[data].size         removed: 1Gi
  and 7 more
price: free
`},
		"the same": {publisher.DryRunResult{Name: "shop", Replaces: 3}, `nothing in the manifest would change: the deploy would replace revision 3 of shop with the same
price: free
`},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutput(false)
			if err := o.g.printDryRun(&c.result); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, o.out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
