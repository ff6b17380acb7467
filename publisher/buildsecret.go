package publisher

import (
	"context"
	"strings"

	"apocryph/attest/keyrelease"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
)

// GitCredential opens a private repository. It is in no file, event or error of this
// package, and travels sealed to the attested key of the provider that builds.
type GitCredential struct {
	// Username may be empty, where the host takes a token alone.
	Username, Token string
}

// The bounds of a credential, in bytes: it becomes a header of a request.
const (
	MaxGitToken    = 4096
	MaxGitUsername = 255
)

// ParseGitCredential reads TOKEN or USERNAME:TOKEN. The error shows nothing of it.
func ParseGitCredential(text string) (*GitCredential, error) {
	c := &GitCredential{Token: text}
	if user, token, ok := strings.Cut(text, ":"); ok {
		c.Username, c.Token = user, token
	}
	switch {
	case c.Token == "":
		return nil, errGitToken("nothing in it")
	case len(c.Token) > MaxGitToken || len(c.Username) > MaxGitUsername:
		return nil, errGitToken("more bytes than a token has")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return nil, errGitToken("spaces, line ends or control characters within it")
	}
	return c, nil
}

func errGitToken(what string) error {
	return status.New(status.InvalidArgument, "git.token", "the token for git has %s, want TOKEN or USERNAME:TOKEN on one line", what)
}

// String hides the credential from formatted output.
func (GitCredential) String() string { return "publisher.GitCredential(hidden)" }

// GoString hides it from %#v.
func (c GitCredential) GoString() string { return c.String() }

// BuildSecret is what is sealed for a build.
type BuildSecret struct {
	GitCredential
	// Repository is what the credential is for, and nothing else: whoever passes the
	// request on with another source does not get the credential sent there.
	Repository    string
	PublisherPeer []byte
}

// sealBuild seals the credential to the key of an attestation, if there is one.
func (s *Service) sealBuild(ctx context.Context, req DeployRequest, a *Attested, ask *BuildRequest) error {
	ask.Enc, ask.Ciphertext = nil, nil
	c := req.Source.Credential
	if c == nil {
		return nil
	}
	if req.Source.Slug.Host == slug.File {
		return status.New(status.InvalidArgument, "git.token", "%s is on the provider's own disk, which takes no token", req.Source.Slug)
	}
	// Before anything is released under it: a crash now must not let an older one back.
	if err := s.UsePolicy(ctx, req.Manifest.Name, req.given()); err != nil {
		return err
	}
	plaintext, err := s.cfg.Codec.EncodeBuildSecret(BuildSecret{GitCredential: *c, Repository: req.Source.repository(), PublisherPeer: s.cfg.Peer})
	if err != nil {
		return err
	}
	ask.Enc, ask.Ciphertext, err = keyrelease.SealBuild(a.Result.Claims.HPKEPublicKey, a.ClaimsDigest, ask.RequestID, plaintext)
	return err
}
