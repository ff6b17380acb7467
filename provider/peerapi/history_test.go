package peerapi

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/provider"
)

func TestHistoryToWire(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_123)
	digest := manifest.Digest{1}
	got := historyToWire([]provider.RevisionView{
		{Revision: 3, From: 1, Outcome: provider.OutcomePending, ManifestDigest: digest, At: at, Current: true},
		{Revision: 2, Outcome: provider.OutcomeFailed, Reason: "it exited", Log: []string{"a\x1b[2J", "\xff"}, ManifestDigest: digest, At: at, Source: []byte("CANARY")},
		{Revision: 1, Outcome: provider.OutcomeUp, ManifestDigest: digest, At: at, Restorable: true, Images: []provider.ContainerView{{Name: "web", CID: "b", ImageID: "sha256:00"}}},
	})
	want := []*podpb.PodRevision{
		{Revision: 3, From: 1, Outcome: 1, ManifestDigest: digest[:], At: at.UnixMilli(), Current: true},
		{Revision: 2, Outcome: 3, Reason: "it exited", Log: []string{"a [2J", " "}, ManifestDigest: digest[:], At: at.UnixMilli()},
		{Revision: 1, Outcome: 2, ManifestDigest: digest[:], At: at.UnixMilli(), Restorable: true, Images: []*podpb.RevisionImage{{Container: "web", Cid: "b", ImageId: "sha256:00"}}},
	}
	if diff := cmp.Diff(want, got.GetResult().GetRevisions(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

// TestLongestAnswers: whatever a publisher deployed, its history and its dry run
// fit into a frame.
func TestLongestAnswers(t *testing.T) {
	long := strings.Repeat("x", 4096)
	var lines []string
	for range 500 {
		lines = append(lines, long)
	}
	var images []provider.ContainerView
	for range manifest.MaxContainers {
		images = append(images, provider.ContainerView{Name: long[:63], CID: long[:128], ImageID: long[:71]})
	}
	var revisions []provider.RevisionView
	for range 100 {
		revisions = append(revisions, provider.RevisionView{Revision: 1 << 63, Reason: long, Log: lines, Images: images, At: time.Now()})
	}
	if n := proto.Size(historyToWire(revisions)); n > rpc.Pod.MaxResponse {
		t.Errorf("a history has %d bytes", n)
	}
	dry := &provider.DryRunResult{Signed: offer.Signed{Offer: make([]byte, offer.MaxBytes), Signature: make([]byte, 64)}}
	for range 10_000 {
		dry.Changes = append(dry.Changes, manifest.Change{Field: long[:1100], Kind: manifest.Changed, Old: long[:128], New: long[:128]})
	}
	w := dryRunToWire(dry)
	if n := proto.Size(&podpb.ProvisionResult{DryRun: w, Receipt: make([]byte, 4096)}); n > rpc.Provision.MaxResponse {
		t.Errorf("a dry run has %d bytes", n)
	}
	if len(w.Changes) != maxChanges || w.GetMore() != 10_000-maxChanges {
		t.Errorf("%d changes and %d more", len(w.Changes), w.GetMore())
	}
	if dryRunToWire(nil) != nil {
		t.Error("what is no dry run has the result of one")
	}
}
