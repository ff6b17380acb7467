package peerclient

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"apocryph/manifest"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/publisher"
)

func building(e *podpb.BuildEvent) *podpb.PodResponse {
	return &podpb.PodResponse{Body: &podpb.PodResponse_Event{Event: &podpb.PodEvent{Build: e}}}
}

func TestBuildImage(t *testing.T) {
	var many []string
	for range maxPlanTexts + 1 {
		many = append(many, "w")
	}
	c, at, heard := answering(t, nil, building(&podpb.BuildEvent{BuildId: "b", Stage: "fetching", Percent: 500}), building(&podpb.BuildEvent{BuildId: "b", Line: "a line"}),
		result(&podpb.PodResult{Built: &podpb.BuildResult{
			BuildId: "b", Image: &podpb.Image{Cid: "c", EncryptedDigest: "e", ImageId: "i", KeyId: "k"}, Pkcs8: []byte("key"), Provenance: []byte("said"),
			Runtime: "static", Argv: []string{"/app"}, Evidence: []string{"why"}, Warnings: many, HeldUntil: 5,
		}}))
	var heardOf []publisher.BuildProgress
	req := publisher.BuildRequest{RequestID: [16]byte{1}, ClaimsDigest: [32]byte{2}, Source: "gh:o/r#x", Branch: "b", Path: "p", Runtime: "static", Entry: "e", Port: 80, Enc: []byte("enc"), Ciphertext: []byte("sealed")}
	got, err := c.BuildImage(t.Context(), at, req, func(p publisher.BuildProgress) { heardOf = append(heardOf, p) })
	if err != nil {
		t.Fatal(err)
	}
	want := publisher.Built{
		ID: "b", Image: manifest.Image{CID: "c", EncryptedDigest: "e", ImageID: "i", KeyID: "k"}, Key: []byte("key"), Provenance: []byte("said"),
		Runtime: "static", Argv: []string{"/app"}, Evidence: []string{"why"}, Warnings: many[1:], HeldUntil: time.UnixMilli(5),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]publisher.BuildProgress{{ID: "b", Stage: "fetching", Percent: 100}, {ID: "b", Line: "a line"}}, heardOf); diff != "" {
		t.Error(diff)
	}
	w := heard.GetBuild()
	if len(w.GetRequestId()) != 16 || len(w.GetClaimsDigest()) != 32 || w.GetSource() != "gh:o/r#x" || w.GetBranch() != "b" || w.GetPath() != "p" || w.GetRuntime() != "static" || w.GetEntry() != "e" || w.GetPort() != 80 || string(w.GetEnc()) != "enc" || string(w.GetCiphertext()) != "sealed" {
		t.Errorf("it asked for %v", w)
	}
}

func TestEncodeBuildSecret(t *testing.T) {
	b, err := new(Client).EncodeBuildSecret(publisher.BuildSecret{
		GitCredential: publisher.GitCredential{Username: "u", Token: "t"}, Repository: "https://github.com/o/r", PublisherPeer: []byte("peer"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var w podpb.SealedBuild
	if err := proto.Unmarshal(b, &w); err != nil {
		t.Fatal(err)
	}
	if w.GetRepository() != "https://github.com/o/r" || w.GetUsername() != "u" || string(w.GetToken()) != "t" || string(w.GetPublisherPeer()) != "peer" {
		t.Errorf("it wrote %v", &w)
	}
}

func TestDropBuild(t *testing.T) {
	c, at, heard := answering(t, nil, result(&podpb.PodResult{}))
	if err := c.DropBuild(t.Context(), at, "b"); err != nil || heard.GetDropBuild().GetBuildId() != "b" {
		t.Errorf("%v, asked for %v", err, heard)
	}
}

// TestProvidersThatDoNotBuild are told apart from builds that failed.
func TestProvidersThatDoNotBuild(t *testing.T) {
	c, at, _ := answering(t, status.New(status.Unimplemented, "pod.call", "this provider does not know the call"))
	_, err := c.BuildImage(t.Context(), at, publisher.BuildRequest{}, nil)
	if status.CodeOf(err) != status.Unimplemented || status.ReasonOf(err) != "build.none" || !strings.Contains(err.Error(), "older version") {
		t.Errorf("got %v", err)
	}
	for name, say := range map[string][]*podpb.PodResponse{
		"nothing":      nil,
		"no body":      {{}},
		"an empty one": {result(&podpb.PodResult{})},
		"a log line":   {{Body: &podpb.PodResponse_Event{Event: &podpb.PodEvent{Line: &podpb.LogLine{}}}}},
		"only events":  {building(&podpb.BuildEvent{Stage: "sealing"})},
	} {
		t.Run(name, func(t *testing.T) {
			c, at, _ := answering(t, nil, say...)
			_, err := c.BuildImage(t.Context(), at, publisher.BuildRequest{}, func(publisher.BuildProgress) {})
			if status.CodeOf(err) != status.Unavailable {
				t.Errorf("got %v", err)
			}
		})
	}
}
