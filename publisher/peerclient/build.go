package peerclient

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"apocryph/manifest"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// maxPlanTexts bounds the lists of a plan that are taken over from a provider; the
// frame bounds their texts.
const maxPlanTexts = 64

// BuildImage has an image made of a commit, and follows the build to its end.
func (c *Client) BuildImage(ctx context.Context, at publisher.ProviderID, req publisher.BuildRequest, report func(publisher.BuildProgress)) (publisher.Built, error) {
	id, err := decode(at)
	if err != nil {
		return publisher.Built{}, err
	}
	w := &podpb.BuildImage{
		RequestId: req.RequestID[:], ClaimsDigest: req.ClaimsDigest[:], Source: req.Source, Branch: req.Branch, Path: req.Path,
		Runtime: req.Runtime, Entry: req.Entry, Port: uint32(req.Port), Enc: req.Enc, Ciphertext: req.Ciphertext,
	}
	stream, err := rpc.Call(ctx, c.host, id, rpc.Pod, &podpb.PodRequest{Call: &podpb.PodRequest_Build{Build: w}}, newPodResponse)
	if err != nil {
		return publisher.Built{}, err
	}
	defer stream.Close()
	for {
		res, err := receive(stream)
		if err != nil {
			return publisher.Built{}, olderBuild(err)
		}
		switch {
		case res.GetEvent().GetBuild() != nil:
			report(buildFromWire(res.GetEvent().GetBuild()))
		case res.GetResult().GetBuilt() != nil:
			return builtFromWire(res.GetResult().GetBuilt()), nil
		default:
			return publisher.Built{}, badAnswer("a message of an unknown kind")
		}
	}
}

// EncodeBuildSecret writes what a build needs as a SealedBuild.
func (c *Client) EncodeBuildSecret(b publisher.BuildSecret) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(&podpb.SealedBuild{
		Repository: b.Repository, Username: b.Username, Token: []byte(b.Token), PublisherPeer: b.PublisherPeer,
	})
}

// DropBuild gives up a build or what it made.
func (c *Client) DropBuild(ctx context.Context, at publisher.ProviderID, id string) error {
	_, err := c.podCall(ctx, at, &podpb.PodRequest{Call: &podpb.PodRequest_DropBuild{DropBuild: &podpb.DropBuild{BuildId: id}}})
	return err
}

// olderBuild says that a provider which does not know the call builds nothing.
func olderBuild(err error) error {
	if status.CodeOf(err) != status.Unimplemented || status.ReasonOf(err) != "pod.call" {
		return err
	}
	return status.Wrap(err, status.Unimplemented, "build.none", "the provider runs an older version, which builds nothing for publishers").
		WithHint("choose another provider, or build the image yourself: `publisher deploy APP.YAML`")
}

func buildFromWire(w *podpb.BuildEvent) publisher.BuildProgress {
	return publisher.BuildProgress{ID: w.GetBuildId(), Stage: w.GetStage(), Percent: int(min(w.GetPercent(), 100)), Line: w.GetLine()}
}

func builtFromWire(w *podpb.BuildResult) publisher.Built {
	texts := func(list []string) []string { return append([]string(nil), list[:min(len(list), maxPlanTexts)]...) }
	i := w.GetImage()
	return publisher.Built{
		ID:    w.GetBuildId(),
		Image: manifest.Image{CID: i.GetCid(), EncryptedDigest: i.GetEncryptedDigest(), ImageID: i.GetImageId(), KeyID: i.GetKeyId()},
		Key:   w.GetPkcs8(), Provenance: w.GetProvenance(), Runtime: w.GetRuntime(), Argv: texts(w.GetArgv()), Evidence: texts(w.GetEvidence()),
		Warnings: texts(w.GetWarnings()), HeldUntil: time.UnixMilli(w.GetHeldUntil()),
	}
}
