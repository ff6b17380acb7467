package state

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"apocryph/proto/status"
	"apocryph/publisher"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// helperEnv makes the test binary lock an app, say so, and wait to be killed.
const helperEnv = "STATE_TEST_LOCK"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperEnv); dir != "" {
		if limit, err := strconv.Atoi(os.Getenv(appendEnv)); err == nil {
			appendReleases(dir, limit)
			return
		}
		holdLock(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func newState(t testing.TB) *State {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "a", "state"))
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, err error, code status.Code, names ...string) {
	t.Helper()
	if status.CodeOf(err) != code {
		t.Fatalf("got %v (%v), want %v", err, status.CodeOf(err), code)
	}
	text := err.Error()
	var s *status.Error
	if errors.As(err, &s) {
		text += " hint: " + s.Hint
	}
	for _, n := range names {
		if !strings.Contains(text, n) {
			t.Errorf("%q does not name %q", text, n)
		}
	}
}

var when = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)

func sample(name, provider string) publisher.App {
	return publisher.App{
		Name: name, Provider: publisher.Target{ID: publisher.ProviderID(provider), Addrs: []string{"/ip4/127.0.0.1/tcp/4021"}},
		PodID: "pod", Revision: 7, ManifestDigest: "sha256:m",
		Images:    []publisher.AppImage{{Container: "c", CID: "bafy", ImageID: "sha256:i", EncryptedDigest: "sha256:e", KeyID: "k"}},
		Endpoints: []publisher.Endpoint{{Container: "c", Port: 8080, Protocol: "http", URL: "http://x", Dial: "127.0.0.1:1"}},
		URL:       "http://x", Verdict: "affirmed", Pending: &publisher.Pending{RequestID: "abc", Sent: when},
		Past: []publisher.AppRevision{
			{Revision: 5, ManifestDigest: "sha256:m5"},
			{Revision: 6, ManifestDigest: "sha256:m6", Images: []publisher.AppImage{{Container: "c", CID: "bafy6", ImageID: "sha256:i6", EncryptedDigest: "sha256:e6", KeyID: "k6"}}},
		},
		Created: when, Updated: when.Add(time.Hour),
	}
}

func TestSaveAndGet(t *testing.T) {
	s := newState(t)
	want := sample("app", "P1")
	must(t, s.Save(t.Context(), want))
	again, err := Open(s.dir)
	must(t, err)
	for _, provider := range []publisher.ProviderID{"", "P1"} {
		got, err := again.Get(t.Context(), "app", provider)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	// Less replaces more: a request that was answered is pending no longer.
	want.Pending, want.Images, want.Past = nil, nil, nil
	must(t, s.Save(t.Context(), want))
	got, err := s.Get(t.Context(), "app", "P1")
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCreatedIsKept(t *testing.T) {
	s := newState(t)
	a := sample("app", "P1")
	a.Created = time.Time{}
	must(t, s.Save(t.Context(), a))
	first, err := s.Get(t.Context(), "app", "")
	must(t, err)
	a.Updated = a.Updated.Add(time.Hour)
	must(t, s.Save(t.Context(), a))
	second, err := s.Get(t.Context(), "app", "")
	must(t, err)
	if !second.Created.Equal(first.Created) || first.Created.IsZero() || second.Updated.Equal(first.Updated) {
		t.Errorf("created %v and %v", first.Created, second.Created)
	}
}

func TestUnknownAndAmbiguous(t *testing.T) {
	s := newState(t)
	_, err := s.Get(t.Context(), "app", "")
	refused(t, err, status.NotFound, "app", "publisher deploy")
	must(t, s.Save(t.Context(), sample("app", "P2")))
	must(t, s.Save(t.Context(), sample("app", "P1")))
	must(t, s.Save(t.Context(), sample("app-2", "P1")))
	_, err = s.Get(t.Context(), "app", "")
	refused(t, err, status.InvalidArgument, "P1, P2", "--provider")
	refused(t, s.Delete(t.Context(), "app", ""), status.InvalidArgument, "P1, P2")
	_, err = s.Get(t.Context(), "app", "P3")
	refused(t, err, status.NotFound, "P3", "app, app-2")
	_, err = s.Get(t.Context(), "ap", "")
	refused(t, err, status.NotFound)
	if got, err := s.Get(t.Context(), "app", "P2"); err != nil || got.Provider.ID != "P2" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestListAndDelete(t *testing.T) {
	s := newState(t)
	for _, a := range []publisher.App{sample("b", "P1"), sample("a", "P2"), sample("a", "P1")} {
		must(t, s.Save(t.Context(), a))
	}
	must(t, s.Delete(t.Context(), "b", ""))
	refused(t, s.Delete(t.Context(), "b", ""), status.NotFound)
	got, err := s.List(t.Context())
	must(t, err)
	if diff := cmp.Diff([]publisher.App{sample("a", "P1"), sample("a", "P2")}, got); diff != "" {
		t.Error(diff)
	}
}
