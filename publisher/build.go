package publisher

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/attest/policy"
	"apocryph/attest/provenance"
	"apocryph/manifest"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
)

// BuildRef is the image reference of a container whose image the provider builds.
const BuildRef = "build"

// buildTimeout bounds one build, its time in the provider's queue included.
const buildTimeout = time.Hour

// Source is a commit that the provider fetches and builds, and what has to be true of it.
type Source struct {
	// Slug names repository and ref.
	Slug slug.Slug
	// Branch is the one that the commit must be reachable from; empty is the ref where
	// that is a branch or a tag, else the repository's default.
	Branch string
	// Path is the directory that is built; Runtime and Entry are found out where they
	// are empty.
	Path, Runtime, Entry string
	// Signers, unless empty, are who must have signed the commit, whatever the policy
	// says besides.
	Signers policy.Signers
	// Credential opens a private repository; nil is a public one.
	Credential *GitCredential
}

// repository is the canonical URL that a statement has to name. A provider that takes
// another host for GitHub builds what is there, which is something else.
func (s *Source) repository() string { return s.Slug.Canonical(slug.DefaultBases()) }

// BuildRequest asks a provider for an image of a commit.
type BuildRequest struct {
	// RequestID makes a repeat follow the build that the first one began.
	RequestID    [16]byte
	ClaimsDigest [32]byte
	// Source is a slug.
	Source, Branch, Path, Runtime, Entry string
	// Port is where the app listens, 0 for the runtime's own.
	Port uint16
	// Enc and Ciphertext are a [BuildSecret] sealed to the attested key; both are empty
	// where there is none.
	Enc, Ciphertext []byte
}

// renew makes it the request for another build.
func (r *BuildRequest) renew() error {
	if _, err := rand.Read(r.RequestID[:]); err != nil {
		return fmt.Errorf("making a request id: %w", err)
	}
	return nil
}

// BuildProgress is how far a build is, or with an empty Stage a line of its log.
type BuildProgress struct {
	ID, Stage string
	// Percent is 0 to 100.
	Percent int
	Line    string
}

// Built is what a provider answered to a build; nothing of it is verified yet.
type Built struct {
	ID    string
	Image manifest.Image
	// Key is the image's private key, PKCS #8 DER, which the provider made.
	Key []byte
	// Provenance is a DSSE envelope of package apocryph/attest/provenance.
	Provenance               []byte
	Runtime                  string
	Argv, Evidence, Warnings []string
	// HeldUntil is by when a pod has to have the image.
	HeldUntil time.Time
}

// Builds has providers build. Errors of one that builds nothing are unimplemented.
type Builds interface {
	BuildImage(ctx context.Context, at ProviderID, req BuildRequest, report func(BuildProgress)) (Built, error)
	DropBuild(ctx context.Context, at ProviderID, id string) error
}

// builds reports whether the provider makes the image of a container.
func (r *DeployRequest) builds(c manifest.Container) bool {
	return r.Source != nil && c.Image.Ref == BuildRef
}

// checkSource refuses a source without a container for it.
func (r *DeployRequest) checkSource() error {
	if r.Source == nil {
		return nil
	}
	for _, c := range r.Manifest.Containers {
		if r.builds(c) {
			return nil
		}
	}
	return status.Invalid("deploy.source", "the manifest", []status.Fault{
		{Field: "containers", Got: "no container with image: " + BuildRef, Want: "one whose image the provider builds"},
	})
}

// port is where the container that is built listens.
func (r *DeployRequest) port() uint16 {
	for _, c := range r.Manifest.Containers {
		if r.builds(c) && len(c.Ports) > 0 {
			return c.Ports[0].TargetPort
		}
	}
	return 0
}

// build has the provider of a choice build the source, and checks what it says of the
// image. It comes before anything secret is sent, and before resources are held: a
// build may take long. A build that is not what was asked for is dropped.
func (s *Service) build(ctx context.Context, req DeployRequest, c *choice) (*made, error) {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	ask := BuildRequest{
		Source: req.Source.Slug.String(), Branch: req.Source.Branch, Path: req.Source.Path, Runtime: req.Source.Runtime, Entry: req.Source.Entry, Port: req.port(),
	}
	if err := ask.renew(); err != nil {
		return nil, err
	}
	at := c.attested.Provider.ID
	id := ""
	got, err := s.askBuild(ctx, req, c, ask, func(p BuildProgress) {
		id = p.ID
		req.Report(buildEvent(p))
	})
	if err != nil {
		s.dropBuild(ctx, at, id)
		return nil, fmt.Errorf("building %s: %w", req.Source.Slug, err)
	}
	m, err := s.verifyBuilt(ctx, req, c.attested, got)
	if err != nil {
		s.dropBuild(ctx, at, got.ID)
		return nil, err
	}
	req.Report(Event{Event: "built", Text: m.text(), Commit: m.said.Source.Commit, Final: true})
	return m, nil
}

// verifyBuilt is checkBuilt, after a look into the pod log where the policy wants the
// build to be there.
func (s *Service) verifyBuilt(ctx context.Context, req DeployRequest, a *Attested, got Built) (*made, error) {
	logged := false
	if req.Policy.WantsBuilds() && req.Policy.Provenance.Logged {
		again, err := s.attest(ctx, a.Provider, req.Policy, attest.PurposeProvision, AttestRequest{Images: []string{got.Image.ImageID}, Log: true}, nil)
		if err != nil {
			return nil, fmt.Errorf("looking for the build in the pod log: %w", err)
		}
		// What is wrong with the build is told below, of the build.
		if c, failed := again.Verdict.Failed(); failed && !strings.HasPrefix(c.Code, "ATT-12") {
			return nil, denied(again.Verdict)
		}
		statement, err := provenance.Statement(got.Provenance)
		done := again.buildDone(got.ID)
		logged = err == nil && done != nil && done.Provenance == podlog.Digest(provenance.Digest(statement)) && done.ImageID.String() == got.Image.ImageID
	}
	return s.checkBuilt(req, a, got, logged)
}

// checkBuilds looks for images that nobody can say anything about: those that this
// machine encrypts, or finds on IPFS. Where the policy wants to know of each how it was
// built, nothing is sent; else there is a warning.
func (r *DeployRequest) checkBuilds() (warnings []string, err error) {
	if !r.Policy.WantsBuilds() {
		return nil, nil
	}
	var faults []status.Fault
	for _, c := range r.Manifest.Containers {
		if r.builds(c) {
			continue
		}
		warnings = append(warnings, "not judged by the policy's section provenance: the image of container "+c.Name+" is not built by the provider, so that there is no statement about its build")
		faults = append(faults, status.Fault{Field: "containers[" + c.Name + "].image", Got: fmt.Sprintf("%.80q", c.Image.Ref), Want: "image: " + BuildRef + ", with --git"})
	}
	if len(faults) == 0 || !r.Policy.Provenance.Required {
		return warnings, nil
	}
	e := status.Invalid("deploy.no_provenance", "the manifest", faults)
	e.Code = status.Untrusted
	return nil, e.WithHint("nothing was sent: the policy has provenance.required, and only the provider's own builds have a statement")
}

// askBuild asks for a build, over another stream where one breaks. A provider that
// was started again has other keys, and is attested again; the build goes on there.
func (s *Service) askBuild(ctx context.Context, req DeployRequest, c *choice, ask BuildRequest, report func(BuildProgress)) (Built, error) {
	for try := 1; ; {
		ask.ClaimsDigest = c.attested.ClaimsDigest
		if err := s.sealBuild(ctx, req, c.attested, &ask); err != nil {
			return Built{}, err
		}
		got, err := s.cfg.Builds.BuildImage(ctx, c.attested.Provider.ID, ask, report)
		wait := queueFull(err)
		switch {
		case wait > 0:
			report(BuildProgress{Stage: "queued"})
			if pause(ctx, wait) != nil {
				return got, err
			}
			if s.cfg.Now().Add(claimsMargin).Before(c.attested.Result.Claims.ExpiresAt) {
				continue
			}
		case try == sendTries || ctx.Err() != nil:
			return got, err
		case status.ReasonOf(err) == "build.credential_lost":
			// The build that waited or ran has failed; this is another one.
			if err := ask.renew(); err != nil {
				return got, err
			}
			try++
		case status.ReasonOf(err) != "peer.lost":
			return got, err
		default:
			try++
		}
		needs := needsOf(req)
		a, attestErr := s.appraised(ctx, c.attested.Provider, req, &needs)
		if attestErr != nil {
			return got, err
		}
		c.attested, c.reserved = a, false
	}
}

// maxQueueWait bounds how long a provider has us wait before we ask again.
const maxQueueWait = time.Minute

// queueFull is when to come back to a provider that has too many builds waiting, 0 for
// any other answer.
func queueFull(err error) time.Duration {
	if r := status.ReasonOf(err); r != "build.queue" && r != "build.queue_full" {
		return 0
	}
	return max(min(status.Public(err).RetryAfter, maxQueueWait), time.Second)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dropBuild gives up what nobody will use. Where it fails, the provider gives it up
// after a while.
func (s *Service) dropBuild(ctx context.Context, at ProviderID, id string) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := s.cfg.Builds.DropBuild(ctx, at, id); err != nil && status.CodeOf(err) != status.NotFound {
		s.log.Debug("a build is not given up", "build", id, "err", err)
	}
}

func buildEvent(p BuildProgress) Event {
	if p.Stage == "" {
		return Event{Event: "build", Text: p.Line}
	}
	return Event{Event: "build", Stage: p.Stage, Percent: p.Percent, Final: p.Stage == "done"}
}

// text is one line about what was built.
func (m *made) text() string {
	s := m.said.Source
	out := fmt.Sprintf("%s of %s, %s", s.Commit[:12], s.Repository, m.said.Runtime)
	if m.signer != nil {
		out += ", signed by " + signerText(m.signer)
	}
	return out
}

func signerText(s *attest.BuildSigner) string {
	return strings.TrimSpace(s.Name + " (" + s.Kind + " " + s.Key + ")")
}
