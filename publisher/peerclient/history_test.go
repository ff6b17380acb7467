package peerclient

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"apocryph/manifest"
	"apocryph/p2p/p2ptest"
	"apocryph/p2p/rpc"
	"apocryph/proto/capacitypb"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// answering is a client of a provider that answers each call of its pods with
// some messages and then an error.
func answering(t *testing.T, err error, say ...*podpb.PodResponse) (*Client, publisher.ProviderID, *podpb.PodRequest) {
	t.Helper()
	nodes := p2ptest.Nodes(t, 2)
	heard := new(podpb.PodRequest)
	t.Cleanup(rpc.Handle(nodes[1].Host(), rpc.Pod, nil, func() *podpb.PodRequest { return new(podpb.PodRequest) },
		func(_ context.Context, s *rpc.ServerStream[*podpb.PodResponse], req *podpb.PodRequest) error {
			proto.Merge(heard, req)
			for _, m := range say {
				if err := s.Send(m); err != nil {
					return err
				}
			}
			return err
		}))
	return New(nodes[0].Host()), publisher.ProviderID(nodes[1].ID().String()), heard
}

func result(r *podpb.PodResult) *podpb.PodResponse {
	return &podpb.PodResponse{Body: &podpb.PodResponse_Result{Result: r}}
}

func progress(stage podpb.Stage) *podpb.PodResponse {
	return &podpb.PodResponse{Body: &podpb.PodResponse_Event{Event: &podpb.PodEvent{Progress: &podpb.ProvisionEvent{Stage: stage, Bytes: 1, Total: 2}}}}
}

func TestRollbackPod(t *testing.T) {
	c, at, heard := answering(t, nil, progress(podpb.Stage_STAGE_FETCHING), progress(podpb.Stage_STAGE_HEALTHY),
		result(&podpb.PodResult{RolledBack: &podpb.ProvisionResult{PodId: "pod", Revision: 4, ManifestDigest: []byte("d"), Receipt: []byte("r")}}))
	var stages []string
	req := publisher.PodRollback{RequestID: [16]byte{1}, Name: "shop", To: 2, Expected: 3}
	got, err := c.RollbackPod(t.Context(), at, req, func(p publisher.Progress) { stages = append(stages, p.Stage) })
	if err != nil {
		t.Fatal(err)
	}
	want := publisher.Provisioned{PodID: "pod", Revision: 4, ManifestDigest: []byte("d"), Receipt: []byte("r")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"fetching", "healthy"}, stages); diff != "" {
		t.Error(diff)
	}
	asked := heard.GetRollback()
	if len(asked.GetRequestId()) != 16 || asked.GetName() != "shop" || asked.GetTo() != 2 || asked.GetExpectedRevision() != 3 {
		t.Errorf("it asked for %v", asked)
	}
}

// TestOlderProviders are said to be too old, whatever was asked of them.
func TestOlderProviders(t *testing.T) {
	c, at, _ := answering(t, status.New(status.Unimplemented, "pod.call", "this provider does not know the call"))
	_, err := c.PodHistory(t.Context(), at, "shop")
	_, rollbackErr := c.RollbackPod(t.Context(), at, publisher.PodRollback{Name: "shop"}, nil)
	for _, err := range []error{err, rollbackErr} {
		if status.CodeOf(err) != status.Unimplemented || !strings.Contains(err.Error(), "older version") {
			t.Errorf("got %v", err)
		}
	}
	for name, say := range map[string][]*podpb.PodResponse{
		"nothing":       nil,
		"no body":       {{}},
		"an empty one":  {result(&podpb.PodResult{})},
		"a log line":    {{Body: &podpb.PodResponse_Event{Event: &podpb.PodEvent{Line: &podpb.LogLine{}}}}},
		"a short salt":  {result(&podpb.PodResult{RolledBack: &podpb.ProvisionResult{Release: &podpb.KeyRelease{Salt: []byte{1}}}})},
		"a broken word": {progress(podpb.Stage_STAGE_STARTING)},
	} {
		t.Run(name, func(t *testing.T) {
			c, at, _ := answering(t, nil, say...)
			_, err := c.RollbackPod(t.Context(), at, publisher.PodRollback{Name: "shop"}, func(publisher.Progress) {})
			if status.CodeOf(err) != status.Unavailable {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPodHistory(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_123)
	var many []*podpb.RevisionImage
	for range 40 {
		many = append(many, &podpb.RevisionImage{Container: "web"})
	}
	c, id, _ := answering(t, nil, result(&podpb.PodResult{Revisions: []*podpb.PodRevision{
		{Revision: 3, From: 1, Outcome: 1, ManifestDigest: []byte{1}, At: at.UnixMilli(), Current: true, Restorable: true, Images: []*podpb.RevisionImage{{Container: "web", Cid: "b", ImageId: "i"}}},
		{Revision: 2, Outcome: 3, Reason: "exit\x1b[2J", Log: []string{"a\x07"}, At: at.UnixMilli()},
		{Revision: 1, Outcome: 77, At: at.UnixMilli(), Images: many},
	}}))
	got, err := c.PodHistory(t.Context(), id, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || len(got[2].Images) != manifest.MaxContainers {
		t.Fatalf("got %+v", got)
	}
	got[2].Images = nil
	want := []publisher.PodRevision{
		{Revision: 3, From: 1, Outcome: publisher.OutcomePending, Log: []string{}, ManifestDigest: []byte{1}, At: at, Current: true, Restorable: true, Images: []publisher.AppImage{{Container: "web", CID: "b", ImageID: "i"}}},
		{Revision: 2, Outcome: publisher.OutcomeFailed, Reason: "exit [2J", Log: []string{"a "}, At: at},
		{Revision: 1, Log: []string{}, At: at},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDryRunFromWire(t *testing.T) {
	got := dryRunFromWire(&podpb.DryRunResult{
		Replaces: 3, More: 2, Offer: &capacitypb.SignedOffer{Offer: []byte("o"), Signature: []byte("s")},
		Changes: []*podpb.ManifestChange{{Field: "a", Kind: 1, New: "n"}, {Field: "b", Kind: 2, Old: "o"}, {Field: "c", Kind: 3}, {Field: "d", Kind: 99}},
	})
	want := []manifest.Change{{Field: "a", Kind: manifest.Added, New: "n"}, {Field: "b", Kind: manifest.Removed, Old: "o"}, {Field: "c", Kind: manifest.Changed}, {Field: "d", Kind: manifest.Changed}}
	if diff := cmp.Diff(want, got.Changes); diff != "" {
		t.Error(diff)
	}
	if got.Replaces != 3 || got.More != 2 || string(got.Offer.Offer) != "o" || string(got.Offer.Signature) != "s" {
		t.Errorf("got %+v", got)
	}
	if dryRunFromWire(nil) != nil {
		t.Error("nothing is a dry run")
	}
}

// FuzzPodResult reads what a provider says of a pod's revisions and of what came
// of a rollback or a dry run.
func FuzzPodResult(f *testing.F) {
	for _, r := range []*podpb.PodResult{
		{},
		{Revisions: []*podpb.PodRevision{{Revision: 1, Outcome: -1, Log: []string{"x"}, Images: []*podpb.RevisionImage{{}}}, {At: -1 << 63}}},
		{RolledBack: &podpb.ProvisionResult{Release: &podpb.KeyRelease{Salt: make([]byte, 32)}, DryRun: &podpb.DryRunResult{Changes: []*podpb.ManifestChange{{Kind: -1}}}}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r podpb.PodResult
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		for _, v := range historyFromWire(r.GetRevisions()) {
			if len(v.Images) > maxImages || len(v.Log) > 64 || strings.ContainsRune(v.Reason, '\x1b') {
				t.Errorf("took %+v", v)
			}
		}
		p, err := provisionedFromWire(r.GetRolledBack())
		if err == nil && p.Dry != nil && len(p.Dry.Changes) > maxChanges {
			t.Errorf("took %d changes", len(p.Dry.Changes))
		}
	})
}
