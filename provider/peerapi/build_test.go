package peerapi

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"apocryph/attest/provenance"
	"apocryph/manifest"
	"apocryph/p2p"
	"apocryph/p2p/p2ptest"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/provider"
)

// bench is a [Builder] that notes what it was asked.
type bench struct{ asked []string }

func (b *bench) Build(_ context.Context, p provider.PublisherID, r BuildRequest, _ func(BuildProgress)) (Built, error) {
	b.asked = append(b.asked, "build "+string(p)+" "+r.Source)
	return Built{}, nil
}

func (b *bench) Drop(_ context.Context, p provider.PublisherID, id string) error {
	b.asked = append(b.asked, "drop "+string(p)+" "+id)
	return nil
}

func builderNode(t *testing.T, b Builder) (*p2p.Node, func(*podpb.PodRequest) error) {
	t.Helper()
	nodes := p2ptest.Nodes(t, 2)
	svc, err := provider.New(provider.Config{Peer: []byte(nodes[1].ID()), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(Register(nodes[1].Host(), svc, b, nil))
	return nodes[0], func(req *podpb.PodRequest) error {
		_, err := rpc.Do(t.Context(), nodes[0].Host(), nodes[1].ID(), rpc.Pod, req, func() *podpb.PodResponse { return new(podpb.PodResponse) })
		return err
	}
}

func TestBuildRefusals(t *testing.T) {
	b := &bench{}
	client, call := builderNode(t, b)
	id, claims, long := make([]byte, 16), make([]byte, 32), strings.Repeat("x", maxBuildText+1)
	for name, c := range map[string]struct {
		req    *podpb.BuildImage
		code   status.Code
		reason string
	}{
		"nothing":      {&podpb.BuildImage{}, status.InvalidArgument, "build.call"},
		"short id":     {&podpb.BuildImage{RequestId: id[1:], ClaimsDigest: claims, Source: "gh:o/r"}, status.InvalidArgument, "build.call"},
		"long id":      {&podpb.BuildImage{RequestId: append(id, 0), ClaimsDigest: claims, Source: "gh:o/r"}, status.InvalidArgument, "build.call"},
		"short claims": {&podpb.BuildImage{RequestId: id, ClaimsDigest: claims[1:], Source: "gh:o/r"}, status.InvalidArgument, "build.call"},
		"no source":    {&podpb.BuildImage{RequestId: id, ClaimsDigest: claims}, status.InvalidArgument, "build.call"},
		"long source":  {&podpb.BuildImage{RequestId: id, ClaimsDigest: claims, Source: long}, status.InvalidArgument, "build.call"},
		"long branch":  {&podpb.BuildImage{RequestId: id, ClaimsDigest: claims, Source: "gh:o/r", Branch: long}, status.InvalidArgument, "build.call"},
		"long path":    {&podpb.BuildImage{RequestId: id, ClaimsDigest: claims, Source: "gh:o/r", Path: long}, status.InvalidArgument, "build.call"},
		"long entry":   {&podpb.BuildImage{RequestId: id, ClaimsDigest: claims, Source: "gh:o/r", Entry: long}, status.InvalidArgument, "build.call"},
		"long runtime": {&podpb.BuildImage{RequestId: id, ClaimsDigest: claims, Source: "gh:o/r", Runtime: long}, status.InvalidArgument, "build.call"},
		"port":         {&podpb.BuildImage{RequestId: id, ClaimsDigest: claims, Source: "gh:o/r", Port: 65536}, status.InvalidArgument, "build.call"},
		// Who never attested this provider has nothing built by it.
		"no attestation": {&podpb.BuildImage{RequestId: id, ClaimsDigest: claims, Source: "gh:o/r"}, status.Untrusted, "provision.attestation"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, call(&podpb.PodRequest{Call: &podpb.PodRequest_Build{Build: c.req}}), c.code, c.reason)
		})
	}
	if len(b.asked) > 0 {
		t.Errorf("what was refused was built: %q", b.asked)
	}
	if err := call(&podpb.PodRequest{Call: &podpb.PodRequest_DropBuild{DropBuild: &podpb.DropBuild{BuildId: "x"}}}); err != nil {
		t.Fatal(err)
	}
	if want := "drop " + client.ID().String() + " x"; len(b.asked) != 1 || b.asked[0] != want {
		t.Errorf("asked %q, want %q", b.asked, want)
	}
}

// TestNoBuilds: a provider that builds nothing says so, whoever asks.
func TestNoBuilds(t *testing.T) {
	_, call := builderNode(t, nil)
	req := &podpb.BuildImage{RequestId: make([]byte, 16), ClaimsDigest: make([]byte, 32), Source: "gh:o/r"}
	refused(t, call(&podpb.PodRequest{Call: &podpb.PodRequest_Build{Build: req}}), status.Unimplemented, "build.none")
	refused(t, call(&podpb.PodRequest{Call: &podpb.PodRequest_DropBuild{}}), status.Unimplemented, "build.none")
}

// TestLongestBuild: whatever a build found in a stranger's files fits into a frame.
func TestLongestBuild(t *testing.T) {
	long := strings.Repeat("\xff", 4096)
	var lines []string
	for range 500 {
		lines = append(lines, long)
	}
	w := builtToWire(Built{
		ID: "id", Image: manifest.Image{CID: "c", EncryptedDigest: "e", ImageID: "i", KeyID: "k"}, Key: []byte("key"), Runtime: "static",
		Provenance: make([]byte, provenance.MaxEnvelope), Argv: lines, Evidence: lines, Warnings: lines, HeldUntil: time.UnixMilli(7),
	})
	if n := proto.Size(w); n > rpc.Pod.MaxResponse {
		t.Errorf("a build has %d bytes", n)
	}
	if len(w.GetArgv()) != maxPlanTexts || w.GetHeldUntil() != 7 || !bytes.Equal(w.GetPkcs8(), []byte("key")) || w.GetImage().GetKeyId() != "k" {
		t.Errorf("got %.200v", w)
	}
	if _, err := proto.Marshal(w); err != nil {
		t.Error(err)
	}
}
