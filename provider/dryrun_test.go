package provider_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/provider"
)

func TestDryRunCompares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := w.run()
		img := w.image("sleep")
		secret := func(file, value string) func(*call) {
			return func(c *call) {
				c.order.Secrets = map[string]map[string][]byte{"s": {file: []byte("CANARY" + value)}}
			}
		}
		of := func(env string) *manifest.Manifest {
			return app("app", img, host("a.example"), func(m *manifest.Manifest) {
				m.Volumes = []manifest.Volume{{Name: "s", Kind: manifest.Secret}}
				m.Containers[0].Env = []manifest.EnvVar{{Name: "TOKEN", Value: "CANARY" + env}}
			})
		}
		dry := func(m *manifest.Manifest, change ...func(*call)) *provider.DryRunResult {
			got := n.deploy(order(t, alice, provider.DryRun, m, change...)).Dry
			if got == nil {
				t.Fatal("it says nothing")
			}
			if strings.Contains(fmt.Sprint(got), "CANARY") {
				t.Errorf("shows a secret: %+v", got)
			}
			claims, _ := n.attest(alice, 1)
			if _, err := offer.Open(got.Signed, claims.ReceiptPublicKey, time.UnixMilli(1)); err != nil {
				t.Errorf("the offer: %v", err)
			}
			return got
		}
		fields := func(r *provider.DryRunResult) (out []string) {
			for _, c := range r.Changes {
				out = append(out, c.Field+" "+string(c.Kind))
			}
			return out
		}
		got := dry(of("1"), secret("f", "1"))
		if f := fields(got); got.Replaces != 0 || len(f) < 8 || f[0] != "name added" || f[len(f)-1] != "volumes[s].files[f] added" {
			t.Errorf("of a new pod: %+v", got)
		}
		n.deploy(order(t, alice, provider.Create, of("1"), secret("f", "1")))
		if got := dry(of("1"), secret("f", "1")); got.Replaces != 1 || len(got.Changes) != 0 {
			t.Errorf("of the same: %+v", got)
		}
		want := []string{"containers[web].env.TOKEN changed", "volumes[s].files[g] added", "volumes[s].files[f] removed"}
		if diff := cmp.Diff(want, fields(dry(of("2"), secret("g", "1")))); diff != "" {
			t.Error(diff)
		}
		if got := fields(dry(of("1"), secret("f", "2"))); len(got) != 1 || got[0] != "volumes[s].files[f] changed" {
			t.Errorf("got %q", got)
		}
		// Another publisher's pod of that name is not compared with.
		if got := n.deploy(order(t, bob, provider.DryRun, app("app", img))).Dry; got.Replaces != 0 {
			t.Errorf("it sees a stranger's pod: %+v", got)
		}
		_, err := n.provision(order(t, alice, provider.DryRun, app("app", img, func(m *manifest.Manifest) { m.Containers[0].Resources.CPUMillis = 1 << 20 })))
		refused(t, err, status.ResourceExhausted, "capacity.cpu")
		n.has("1-0 up")
	})
}
