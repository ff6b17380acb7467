package publisher_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// says makes a provider answer dry runs, with an offer for a request.
func says(t *testing.T, w *world, p *fake, req publisher.DeployRequest) {
	t.Helper()
	needs := offer.NeedsOf(req.Manifest)
	needs.Replaces = req.Manifest.Name
	signed, err := p.quote(needs)
	must(t, err)
	p.dry = &publisher.DryRunAnswer{Replaces: 3, Changes: []manifest.Change{{Field: "replicas.min", Kind: manifest.Changed, Old: "1", New: "2"}}, More: 1, Offer: signed}
}

func TestDryRun(t *testing.T) {
	w := newWorld(t)
	p := w.provider("p", logs)
	req := w.request(to(p))
	must(t, os.WriteFile(filepath.Join(req.Dir, "password"), []byte("SECRET"), 0o600))
	req.Manifest.Volumes = []manifest.Volume{{Name: "s", Kind: manifest.Secret, Source: "password"}}
	says(t, w, p, req)
	d, err := w.service().DryRun(t.Context(), req)
	must(t, err)
	// Nothing is encrypted, published, granted, reserved or remembered.
	if got, want := w.done("seal", "publish", "grant", "save", "quote", "status", "attest", "encode", "provision"), []string{"attest p", "encode", "provision p 3"}; !slices.Equal(got, want) {
		t.Errorf("did %q, want %q", got, want)
	}
	if d.Name != "app" || d.Provider.ID != "p" || d.Replaces != 3 || d.More != 1 || !d.Verdict.Affirmed || d.Offer.TotalPerHour != "1" || d.Offer.ReservationID != "" {
		t.Errorf("got %+v", d)
	}
	if diff := cmp.Diff(p.dry.Changes, d.Changes); diff != "" {
		t.Error(diff)
	}
	o := w.orders[0]
	m, err := manifest.Unmarshal(o.Manifest)
	must(t, err)
	if c := m.Containers[0].Image; c.KeyID != "" || c.EncryptedDigest != c.ImageID || !strings.HasPrefix(c.ImageID, "sha256:") {
		t.Errorf("the manifest names %+v", c)
	}
	if len(o.Keys) > 0 || o.ReservationID != "" || string(o.Secrets["s"]["password"]) != "SECRET" {
		t.Errorf("the order is %+v", o)
	}
	if req.Manifest.Containers[0].Image.CID != "" {
		t.Error("the caller's manifest was changed")
	}
}

func TestDryRunRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*fake)
		change func(*publisher.DeployRequest)
		code   status.Code
		reason string
		sent   bool
	}{
		"another program":   {spoil: func(p *fake) { p.device = changed }, code: status.Untrusted, reason: "attest.denied"},
		"built-in policy":   {change: func(r *publisher.DeployRequest) { r.Policy = policy.Builtin() }, code: status.Untrusted},
		"no image":          {change: func(r *publisher.DeployRequest) { r.Manifest.Containers[0].Image.Ref = "oci:missing" }, code: status.NotFound, reason: "image.missing"},
		"short":             {spoil: func(p *fake) { p.short = true }, code: status.ResourceExhausted, reason: "capacity.cpu"},
		"unreachable":       {spoil: func(p *fake) { p.down = true }, code: status.Unavailable, reason: "peer.unreachable"},
		"refused":           {spoil: func(p *fake) { p.refuse = status.New(status.Conflict, "ingress.taken", "taken") }, code: status.Conflict, reason: "ingress.taken", sent: true},
		"an older provider": {spoil: func(p *fake) { p.dry = nil }, code: status.Unimplemented, reason: "deploy.dry_run", sent: true},
		"other manifest":    {spoil: func(p *fake) { p.result = func(o *publisher.Provisioned) { o.ManifestDigest = []byte{1} } }, code: status.Untrusted, reason: "provision.digest", sent: true},
		"not the key":       {spoil: func(p *fake) { p.result = func(o *publisher.Provisioned) { o.Confirm = []byte{1} } }, code: status.Untrusted, sent: true},
		"no offer":          {spoil: func(p *fake) { p.dry.Offer = offer.Signed{} }, code: status.Untrusted, reason: "offer.signature", sent: true},
		"foreign offer":     {spoil: func(p *fake) { p.dry.Offer.Signature[0] ^= 1 }, code: status.Untrusted, reason: "offer.signature", sent: true},
		"offer for another": {change: func(r *publisher.DeployRequest) { r.Manifest.Replicas = manifest.Replicas{Min: 2, Max: 2} }, code: status.Untrusted, reason: "offer.mismatch", sent: true},
		"secret is not here": {change: func(r *publisher.DeployRequest) {
			r.Manifest.Volumes = []manifest.Volume{{Name: "s", Kind: manifest.Secret, Source: "none"}}
		}, code: status.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.provider("p")
			req := w.request(to(p))
			says(t, w, p, req)
			if c.spoil != nil {
				c.spoil(p)
			}
			if c.change != nil {
				c.change(&req)
			}
			_, err := w.service().DryRun(t.Context(), req)
			if status.CodeOf(err) != c.code || c.reason != "" && status.ReasonOf(err) != c.reason {
				t.Errorf("got %v (%v %s)", err, status.CodeOf(err), status.ReasonOf(err))
			}
			if sent := len(w.done("encode", "provision")) > 0; sent != c.sent {
				t.Errorf("something was sent: %v", sent)
			}
			if did := w.done("seal", "publish", "grant", "save"); len(did) > 0 {
				t.Errorf("did %q", did)
			}
		})
	}
}
