package peerapi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"apocryph/manifest"
	"apocryph/p2p/rpc"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/provider"
)

// BuildRequest asks for an image of a commit.
type BuildRequest struct {
	// RequestID makes a repeat follow the build that the first one began.
	RequestID [16]byte
	// Source is a slug; the rest may be empty.
	Source, Branch, Path string
	Runtime, Entry       string
	Port                 uint16
	// Credential is nil for a public repository.
	Credential *BuildCredential
}

// BuildProgress is how far a build is, or with an empty Stage a line of its log.
type BuildProgress struct {
	ID, Stage string
	Percent   int
	Line      string
}

// Built is an image that was made, and is held until HeldUntil.
type Built struct {
	ID    string
	Image manifest.Image
	// Key opens the image, PKCS #8 DER.
	Key []byte
	// Provenance is a DSSE envelope signed with the key of this start.
	Provenance               []byte
	Runtime                  string
	Argv, Evidence, Warnings []string
	HeldUntil                time.Time
}

// Builder builds for publishers.
type Builder interface {
	// Build follows a build to its end. When ctx ends before, the build goes on.
	Build(ctx context.Context, publisher provider.PublisherID, r BuildRequest, report func(BuildProgress)) (Built, error)
	// Drop gives up a build or what it made; unknown and foreign ones are one answer.
	Drop(ctx context.Context, publisher provider.PublisherID, id string) error
}

const (
	// maxBuildText bounds each text of a request.
	maxBuildText = 1024
	// maxPlanTexts and maxPlanText bound the lists of an answer and their texts, some
	// of which were found in a stranger's files: with an envelope of 350 KiB they stay
	// below a frame.
	maxPlanTexts = 64
	maxPlanText  = 1024
)

func errNoBuilds() error {
	return status.New(status.Unimplemented, "build.none", "this provider builds nothing for publishers").
		WithHint("choose another provider, or build the image yourself: `publisher deploy APP.YAML`")
}

func (a *API) build(ctx context.Context, s *rpc.ServerStream[*podpb.PodResponse], publisher provider.PublisherID, w *podpb.BuildImage) error {
	r, claims, err := buildFromWire(w)
	if err != nil {
		return err
	}
	if a.builds == nil {
		return errNoBuilds()
	}
	if err := a.svc.MayBuild(ctx, publisher, []byte(s.Peer()), claims); err != nil {
		return err
	}
	if r.Credential, err = a.credential([]byte(s.Peer()), r.RequestID, claims, w); err != nil {
		return err
	}
	got, err := a.builds.Build(ctx, publisher, r, func(p BuildProgress) {
		// A caller that is gone does not stop the build; the handler's context ends.
		_ = s.Send(&podpb.PodResponse{Body: &podpb.PodResponse_Event{Event: &podpb.PodEvent{Build: &podpb.BuildEvent{
			BuildId: p.ID, Stage: p.Stage, Percent: uint32(p.Percent), Line: sendable(p.Line),
		}}}})
	})
	if err != nil {
		return err
	}
	return s.Send(&podpb.PodResponse{Body: &podpb.PodResponse_Result{Result: &podpb.PodResult{Built: builtToWire(got)}}})
}

func (a *API) dropBuild(ctx context.Context, s *rpc.ServerStream[*podpb.PodResponse], publisher provider.PublisherID, w *podpb.DropBuild) error {
	if a.builds == nil {
		return errNoBuilds()
	}
	if err := a.builds.Drop(ctx, publisher, w.GetBuildId()); err != nil {
		return err
	}
	return s.Send(&podpb.PodResponse{Body: &podpb.PodResponse_Result{Result: &podpb.PodResult{}}})
}

func buildFromWire(w *podpb.BuildImage) (BuildRequest, [32]byte, error) {
	r := BuildRequest{Source: w.GetSource(), Branch: w.GetBranch(), Path: w.GetPath(), Runtime: w.GetRuntime(), Entry: w.GetEntry(), Port: uint16(w.GetPort())}
	var claims [32]byte
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	fixed := func(field string, dst, src []byte) {
		if len(src) != len(dst) {
			fault(field, bytesText(len(src)), bytesText(len(dst)))
		}
		copy(dst, src)
	}
	fixed("request_id", r.RequestID[:], w.GetRequestId())
	fixed("claims_digest", claims[:], w.GetClaimsDigest())
	if r.Source == "" {
		fault("source", "nothing", "a slug such as gh:owner/repo")
	}
	for _, f := range []struct{ name, text string }{{"source", r.Source}, {"branch", r.Branch}, {"path", r.Path}, {"runtime", r.Runtime}, {"entry", r.Entry}} {
		if len(f.text) > maxBuildText {
			fault(f.name, bytesText(len(f.text)), fmt.Sprintf("at most %d", maxBuildText))
		}
	}
	if w.GetPort() > 65535 {
		fault("port", fmt.Sprint(w.GetPort()), "at most 65535")
	}
	if len(faults) > 0 {
		return r, claims, status.Invalid("build.call", "the request", faults)
	}
	return r, claims, nil
}

func builtToWire(b Built) *podpb.BuildResult {
	w := &podpb.BuildResult{
		BuildId: b.ID, Pkcs8: b.Key, Provenance: b.Provenance, Runtime: b.Runtime, Argv: planTexts(b.Argv), Evidence: planTexts(b.Evidence),
		Warnings: planTexts(b.Warnings), HeldUntil: b.HeldUntil.UnixMilli(),
	}
	w.Image = &podpb.Image{Cid: b.Image.CID, EncryptedDigest: b.Image.EncryptedDigest, ImageId: b.Image.ImageID, KeyId: b.Image.KeyID}
	return w
}

func planTexts(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), maxPlanTexts)] {
		out = append(out, sendable(s))
	}
	return out
}

// sendable is text that a stranger wrote, in a length and form that the wire takes.
func sendable(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxPlanText)], "\uFFFD")
}
