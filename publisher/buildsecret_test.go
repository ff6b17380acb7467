package publisher_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"apocryph/manifest/slug"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// tokenCanary is the token that is lent to builds.
const tokenCanary = "git-token-canary"

// opened is what a call sealed, as the attested provider reads it.
func opened(t *testing.T, f *fake, r publisher.BuildRequest) (out publisher.BuildSecret) {
	t.Helper()
	plaintext, err := f.hpke.OpenBuild(r.Enc, r.Ciphertext, r.ClaimsDigest, r.RequestID)
	must(t, err)
	must(t, json.Unmarshal(plaintext, &out))
	return out
}

// TestBuildOfAPrivateRepository: the credential is sealed to the attested key, with the
// repository that it is for, and is in nothing else that leaves or stays.
func TestBuildOfAPrivateRepository(t *testing.T) {
	w, b, req := gitWorld(t)
	req.Source.Credential = &publisher.GitCredential{Username: "u", Token: tokenCanary}
	var events []publisher.Event
	req.Report = func(e publisher.Event) { events = append(events, e) }
	d, err := w.service().Deploy(t.Context(), req)
	must(t, err)
	got := opened(t, b.f, b.asks[0])
	if got.Token != tokenCanary || got.Username != "u" || got.Repository != "https://github.com/o/r" || len(got.PublisherPeer) == 0 {
		t.Errorf("sealed for %s: %q", got.Repository, got.PublisherPeer)
	}
	if build := slices.Index(w.did, "encode build"); build < 0 || build > slices.Index(w.did, "encode") {
		t.Errorf("did %q", w.did)
	}
	for name, v := range map[string]any{"the call": b.asks, "the events": events, "the app": d, "the order": w.orders} {
		text, err := json.Marshal(v)
		must(t, err)
		if bytes.Contains(text, []byte(tokenCanary)) {
			t.Errorf("%s has the token", name)
		}
	}
}

// TestPolicyIsNotedBeforeTheToken: an older policy is refused from when something secret
// was sent under this one, whatever becomes of the build.
func TestPolicyIsNotedBeforeTheToken(t *testing.T) {
	for _, c := range []*publisher.GitCredential{nil, {Token: tokenCanary}} {
		w, b, req := gitWorld(t)
		used := policies{}
		w.Policies, req.Policy.Name, req.Policy.Version, req.Source.Credential = used, "strict", 3, c
		b.errs = []error{status.New(status.InvalidArgument, "git.ref_not_found", "no")}
		_, err := w.service().Deploy(t.Context(), req)
		refused(t, err, status.InvalidArgument, "git.ref_not_found")
		if (len(used) > 0) != (c != nil) {
			t.Errorf("with %v: noted %v", c, used)
		}
	}
}

func TestPublicRepositoryHasNoSecret(t *testing.T) {
	w, b, req := gitWorld(t)
	_, err := w.service().Deploy(t.Context(), req)
	must(t, err)
	if a := b.asks[0]; len(a.Enc) > 0 || len(a.Ciphertext) > 0 || len(w.done("encode build")) > 0 {
		t.Errorf("asked for %+v", a)
	}
}

// TestCredentialIsSealedAgain: each attempt is sealed for itself, and a build whose
// credential went with the provider's process is asked for anew.
func TestCredentialIsSealedAgain(t *testing.T) {
	gone := status.New(status.Unavailable, "build.credential_lost", "gone")
	lost := status.New(status.Unavailable, "peer.lost", "lost")
	for name, c := range map[string]struct {
		errs []error
		// ids is how many requests there are.
		asks, ids int
		reason    string
	}{
		"the stream broke":       {[]error{lost}, 2, 1, ""},
		"the provider restarted": {[]error{lost, gone}, 3, 2, ""},
		"it restarts for ever":   {[]error{gone, gone, gone, gone}, 3, 3, "build.credential_lost"},
	} {
		t.Run(name, func(t *testing.T) {
			w, b, req := gitWorld(t)
			req.Source.Credential, b.errs = &publisher.GitCredential{Token: tokenCanary}, c.errs
			_, err := w.service().Deploy(t.Context(), req)
			if status.ReasonOf(err) != c.reason {
				t.Fatalf("got %v", err)
			}
			ids, sealed := map[[16]byte]bool{}, map[string]bool{}
			for _, a := range b.asks {
				ids[a.RequestID], sealed[string(a.Ciphertext)] = true, true
				if opened(t, b.f, a).Token != tokenCanary {
					t.Error("an attempt came without the token")
				}
			}
			if len(b.asks) != c.asks || len(ids) != c.ids || len(sealed) != c.asks {
				t.Errorf("asked %d times with %d ids and %d messages", len(b.asks), len(ids), len(sealed))
			}
		})
	}
}

// TestNoTokenForADisk: a provider's own disk takes no token, and gets none.
func TestNoTokenForADisk(t *testing.T) {
	w, b, req := gitWorld(t)
	req.Source.Slug = slug.Slug{Host: slug.File, Repo: "/srv/r"}
	req.Source.Credential = &publisher.GitCredential{Token: tokenCanary}
	_, err := w.service().Deploy(t.Context(), req)
	refused(t, err, status.InvalidArgument, "git.token")
	if len(b.asks) > 0 {
		t.Error("it was asked")
	}
}

func TestParseGitCredential(t *testing.T) {
	long := strings.Repeat("x", publisher.MaxGitToken)
	for text, want := range map[string]publisher.GitCredential{
		"token":    {Token: "token"},
		"u:t":      {Username: "u", Token: "t"},
		":t":       {Token: "t"},
		"u:a:b":    {Username: "u", Token: "a:b"},
		long:       {Token: long},
		"gh_p4t-=": {Token: "gh_p4t-="},
	} {
		if got, err := publisher.ParseGitCredential(text); err != nil || *got != want {
			t.Errorf("%.20q: %#v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", ":", "u:", "two words", "two\nlines", "cr\r", "tab\t", "nul\x00", "del\x7f", long + "x", "u:" + long + "x", strings.Repeat("u", publisher.MaxGitUsername+1) + ":t",
	} {
		got, err := publisher.ParseGitCredential(text)
		if got != nil || status.ReasonOf(err) != "git.token" {
			t.Errorf("%.20q: %v", text, err)
		}
		if len(text) > 3 && err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("the error shows it: %v", err)
		}
	}
	c := &publisher.GitCredential{Username: "u", Token: tokenCanary}
	if text := fmt.Sprintf("%v %+v %#v %v", c, *c, *c, publisher.BuildSecret{GitCredential: *c}); strings.Contains(text, tokenCanary) {
		t.Errorf("it prints %s", text)
	}
}
