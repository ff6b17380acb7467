package providerd

import (
	"context"
	"crypto/sha256"
	"strings"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/builds"
	"apocryph/provider/peerapi"
)

// buildTail is how many of the last lines of a build's log are told with its failure.
const buildTail = 20

// peerBuilds builds for publishers who come over libp2p, each in a namespace of its own.
type peerBuilds struct {
	*builds.Queue
	// hosts are where slugs of two letters are.
	hosts slug.Bases
}

func (p peerBuilds) Build(ctx context.Context, publisher provider.PublisherID, r peerapi.BuildRequest, report func(peerapi.BuildProgress)) (peerapi.Built, error) {
	source, err := slug.Parse(r.Source)
	if err != nil {
		return peerapi.Built{}, err
	}
	lent, err := p.lent(source, r.Credential)
	if err != nil {
		return peerapi.Built{}, err
	}
	ns := builds.PeerNamespace(publisher)
	// The queue knows all requests by one table: nobody meets the build of another.
	sum := sha256.Sum256([]byte(ns + "\x00" + string(r.RequestID[:])))
	b, err := p.Submit(ctx, builds.Request{
		Namespace: ns, By: string(publisher), Git: &builds.GitSource{Want: git.Want{Slug: source, Branch: r.Branch}, Path: r.Path}, Lent: lent,
		Runtime: r.Runtime, Entry: r.Entry, Port: r.Port, RequestID: [16]byte(sum[:16]),
	})
	if err != nil {
		return peerapi.Built{}, err
	}
	err = p.Watch(ctx, ns, b.ID, 0, func(e builds.Event) error {
		switch {
		case e.Build != nil:
			report(peerapi.BuildProgress{ID: b.ID, Stage: e.Build.Stage, Percent: e.Build.Progress})
		case e.Text != "":
			report(peerapi.BuildProgress{ID: b.ID, Line: e.Text})
		}
		return nil
	})
	if err != nil {
		return peerapi.Built{}, err
	}
	if err := p.Failure(ctx, ns, b.ID); err != nil {
		return peerapi.Built{}, p.withTail(ctx, ns, b.ID, err)
	}
	return p.built(ctx, ns, b.ID)
}

// lent is a credential for what a slug is here. Who sealed it named the repository: a
// relay that changes the slug, or an operator who takes another host for GitHub, does
// not get it.
func (p peerBuilds) lent(source slug.Slug, c *peerapi.BuildCredential) (*git.Credential, error) {
	if c == nil {
		return nil, nil
	}
	if here := source.Canonical(p.hosts); c.Repository != here || source.Host == slug.File {
		return nil, status.New(status.PermissionDenied, "build.credential", "the credential is for %.200q, and the source is %.200q at this provider", c.Repository, here).
			WithHint("name the repository by its own URL, git+https://HOST/PATH, or choose another provider")
	}
	return &git.Credential{Username: c.Username, Password: c.Token}, nil
}

func (p peerBuilds) built(ctx context.Context, ns, id string) (peerapi.Built, error) {
	b, err := p.Queue.Build(ctx, ns, id)
	if err != nil {
		return peerapi.Built{}, err
	}
	img, ok, err := p.Image(ctx, ns, b.ArtifactID)
	if err != nil {
		return peerapi.Built{}, err
	}
	if !ok {
		return peerapi.Built{}, status.New(status.NotFound, "build.unknown", "what build %s made is not held any more", id).WithHint("build it again")
	}
	envelope, err := p.Provenance(ctx, ns, id)
	if err != nil {
		return peerapi.Built{}, err
	}
	return peerapi.Built{
		ID: id, Image: img.Image, Key: img.Key, Provenance: envelope, Runtime: b.Runtime, Argv: b.Argv, Evidence: b.Evidence, Warnings: b.Warnings,
		HeldUntil: b.Finished.Add(builds.HeldFor),
	}, nil
}

func (p peerBuilds) Drop(ctx context.Context, publisher provider.PublisherID, id string) error {
	return p.Queue.Drop(ctx, builds.PeerNamespace(publisher), id)
}

// withTail adds the last lines of a build's log to why it failed.
func (p peerBuilds) withTail(ctx context.Context, ns, id string, err error) error {
	text, _, logErr := p.Log(ctx, ns, id)
	if logErr != nil || len(text) == 0 {
		return err
	}
	public := *status.Public(err)
	lines := strings.Split(strings.TrimSuffix(strings.ToValidUTF8(string(text), "\uFFFD"), "\n"), "\n")
	public.Log = lines[max(0, len(lines)-buildTail):]
	return &public
}
