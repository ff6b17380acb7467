package provider_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/attest/provenance"
	"apocryph/proto/status"
	"apocryph/provider"
)

// TestStatementsWithEvidence: who had images built gets the statements about them with
// evidence, and with the log the builds opened. Nobody else does.
func TestStatementsWithEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &shelf{kept: map[string][]byte{}}
		with := func(c *provider.Config) { c.Statements = s }
		n := w.run(with)
		img := w.image("sleep")
		envelope := must1(n.Built(t.Context(), alice, uploadOf(img.ImageID, w.now()), kept))
		ask := func(who provider.PublisherID, from uint64, images ...string) *provider.Attestation {
			t.Helper()
			ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: peerOf(who), ProviderPeer: peerID(0)}
			return must1(n.Attest(t.Context(), who, provider.AttestRequest{Challenge: ch, Images: images, Log: &provider.LogRequest{From: from}}, nil))
		}
		done := func(a *provider.Attestation) (out []*podlog.BuildDone) {
			t.Helper()
			for _, o := range a.Log.Openings {
				if e, ok := must1(podlog.Open(o.Record, o.Opening)).(*podlog.BuildDone); ok {
					out = append(out, e)
				}
			}
			return out
		}
		got := ask(alice, 0, img.ImageID, "sha256:other", img.ImageID)
		if len(got.Built) != 1 || string(got.Built[0]) != string(envelope) {
			t.Errorf("got %d statements", len(got.Built))
		}
		if d := done(got); len(d) != 1 || d[0].PodID != "build-1" || d[0].ImageID.String() != img.ImageID {
			t.Errorf("the log opens %+v", d)
		}
		if !slices.IsSortedFunc(got.Log.Openings, func(a, b provider.LogOpening) int { return int(a.Record.Seq) - int(b.Record.Seq) }) {
			t.Error("openings are not in order")
		}
		if d := done(ask(alice, uint64(len(got.Log.Records)), img.ImageID)); d != nil {
			t.Errorf("behind the build the log opens %+v", d)
		}
		for name, a := range map[string]*provider.Attestation{"another publisher": ask(bob, 0, img.ImageID), "not asked": ask(alice, 0)} {
			if len(a.Built) != 0 || done(a) != nil {
				t.Errorf("%s: got %d statements, %+v", name, len(a.Built), done(a))
			}
		}
		ch := attest.Challenge{Purpose: attest.PurposeProvision, VerifierPeer: peerOf(alice), ProviderPeer: peerID(0)}
		_, err := n.Attest(t.Context(), alice, provider.AttestRequest{Challenge: ch, Images: make([]string, provider.MaxBuiltImages+1)}, nil)
		refused(t, err, status.InvalidArgument, "attest.images")

		// The next start has another key, and says so of the same statement.
		n.stop()
		n = w.run(with)
		synctest.Wait()
		got = ask(alice, 0, img.ImageID)
		if _, err := provenance.Verify(got.Built[0], n.receiptKey()); err != nil {
			t.Error(err)
		}
	})
}
