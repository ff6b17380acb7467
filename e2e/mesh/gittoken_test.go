package mesh

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/manifest/slug"
	"apocryph/p2p"
	"apocryph/p2p/rpc"
	"apocryph/proto/attestpb"
	"apocryph/proto/podpb"
	"apocryph/proto/status"
	"apocryph/provider/providerd"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// tokenCanary opens the private repository that is deployed to liars.
const tokenCanary = "canary-of-a-git-token"

// deployPrivate has a provider build a private repository of GitHub.
func (a *author) deployPrivate(to *publisher.Target, pol *policy.Policy) error {
	a.t.Helper()
	m, err := manifest.ParseFile([]byte("name: secret\ncontainers: [{image: build, port: 8080}]\n"))
	must(a.t, err)
	return a.node.Do(a.t.Context(), true, func(ctx context.Context, s *publisherd.Session) error {
		_, err := s.Deploy(ctx, publisher.DeployRequest{
			Manifest: m, Dir: ".", Provider: to, Policy: pol, PolicyFile: pol.Marshal(), Payment: offer.Payment{Scheme: "none"}, Platform: platform,
			Source: &publisher.Source{Slug: slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: "main"}, Credential: &publisher.GitCredential{Token: tokenCanary}},
		})
		return err
	})
}

// builds are the calls for builds that mallory was sent; none has the token in the clear.
func (m *mallory) builds() (out []*podpb.BuildImage) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, msg := range m.heard {
		b, err := proto.Marshal(msg)
		must(m.t, err)
		if strings.Contains(string(b), tokenCanary) {
			m.t.Errorf("a %T has the token in the clear", msg)
		}
		if p, ok := msg.(*podpb.PodRequest); ok && p.GetBuild() != nil {
			out = append(out, p.GetBuild())
		}
	}
	return out
}

// TestTokenIsSealed: the token of a repository is sent to a machine that the policy
// accepts, sealed to its attested key, and to no other machine in any form.
func TestTokenIsSealed(t *testing.T) {
	t.Parallel()
	trusted := newMallory(t, nil)
	pol := newAuthor(t).policy(trusted.target())
	a := newAuthor(t)
	refused(t, a.deployPrivate(trusted.target(), pol), status.NotFound, "pod.unknown")
	calls := trusted.builds()
	if len(calls) != 1 {
		t.Fatalf("%d builds were asked for", len(calls))
	}
	c := calls[0]
	plaintext, err := trusted.hpke.OpenBuild(c.GetEnc(), c.GetCiphertext(), [32]byte(c.GetClaimsDigest()), [16]byte(c.GetRequestId()))
	must(t, err)
	var w podpb.SealedBuild
	must(t, proto.Unmarshal(plaintext, &w))
	if string(w.GetToken()) != tokenCanary || w.GetRepository() != "https://github.com/o/r" {
		t.Errorf("sealed for %s", w.GetRepository())
	}
	if _, _, err := trusted.hpke.Open(c.GetEnc(), c.GetCiphertext(), [32]byte(c.GetClaimsDigest()), [16]byte(c.GetRequestId())); err == nil {
		t.Error("it opens as an order")
	}

	foreign := onMachine(t, machines.foreign, nil)
	if err := newAuthor(t).deployPrivate(foreign.target(), pol); status.CodeOf(err) != status.Untrusted {
		t.Errorf("got %v", err)
	}
	if n := len(foreign.builds()); n > 0 {
		t.Errorf("%d builds were asked of a machine that is not trusted", n)
	}
}

// TestTokenPassedOn: a provider with another one's key in its claims can neither open
// what it was sent, nor have the other one build something else with it.
func TestTokenPassedOn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	info, err := p2p.ParsePeer(h.info.Addrs[0])
	must(t, err)
	pol := newAuthor(t).policy(h.target())
	for name, evil := range map[string]string{"as it came": "gh:o/r#main", "with another source": "git+https://git.evil.example/r"} {
		t.Run(name, func(t *testing.T) {
			var own [32]byte
			m := newMallory(t, func(m *mallory) {
				m.attest = func(ctx context.Context, s *rpc.ServerStream[*attestpb.AttestResponse], req *attestpb.AttestRequest) error {
					foreign, err := m.fromHonest(ctx, h, req, func(ask *attestpb.AttestRequest) { ask.Capacity = nil })
					if err != nil {
						return err
					}
					theirs, err := attest.DecodeClaims(foreign.Claims)
					if err != nil {
						return err
					}
					own = attest.ClaimsDigest(foreign.Claims)
					m.claims = func(c *attest.Claims) { c.HPKEPublicKey = theirs.HPKEPublicKey }
					return m.attests(ctx, s, req)
				}
				m.pod = func(ctx context.Context, _ *rpc.ServerStream[*podpb.PodResponse], req *podpb.PodRequest) error {
					b := proto.Clone(req.GetBuild()).(*podpb.BuildImage)
					if b.GetSource() == "" {
						return status.New(status.NotFound, "pod.unknown", "there is no such pod")
					}
					b.Source = evil
					ask := func() error {
						_, err := rpc.Do(ctx, m.node.Host(), info.ID, rpc.Pod, &podpb.PodRequest{Call: &podpb.PodRequest_Build{Build: b}}, func() *podpb.PodResponse { return new(podpb.PodResponse) })
						return err
					}
					if err := ask(); status.ReasonOf(err) != "provision.attestation" {
						t.Errorf("under the claims of the publisher: %v", err)
					}
					b.ClaimsDigest = own[:]
					return ask()
				}
			})
			refused(t, newAuthor(t).deployPrivate(m.target(), pol), status.Untrusted, "provision.unsealable")
			for _, c := range m.builds() {
				if _, err := m.hpke.OpenBuild(c.GetEnc(), c.GetCiphertext(), [32]byte(c.GetClaimsDigest()), [16]byte(c.GetRequestId())); err == nil {
					t.Error("mallory can open what it was sent")
				}
			}
		})
	}
	h.clean()
}

// TestOperatorsOwnGitHub: an operator to whom GitHub is elsewhere does not get the token
// for the real one there.
func TestOperatorsOwnGitHub(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.NotFound(w, r)
	}))
	t.Cleanup(evil.Close)
	h := newHost(t, func(c *providerd.Config) { c.Source.GitHub, c.Source.GitHubAPI = evil.URL, evil.URL })
	pol := newAuthor(t).policy(h.target())
	refused(t, newAuthor(t).deployPrivate(h.target(), pol), status.PermissionDenied, "build.credential")
	if n := asked.Load(); n > 0 {
		t.Errorf("the other host was asked %d times", n)
	}
	h.clean()
}
