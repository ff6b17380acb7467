package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func directApp() DirectApp {
	return DirectApp{
		Version: directVersion, Name: "shop", API: "https://api.example.org", Namespace: "team", Environment: "production", CA: "/etc/ca.pem",
		AppID: "a1", DeploymentID: "d1", PodID: "p1", Revision: 3, ImageDigest: "sha256:ab", ManifestDigest: "sha256:cd",
		URL: "https://shop.example.org/", PreviewURL: "https://p.example.org/", Updated: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
	}
}

func TestDirect(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	one := directApp()
	other := one
	other.Environment = "development"
	elsewhere := one
	elsewhere.Namespace = "other"
	for _, a := range []DirectApp{one, other, elsewhere} {
		if err := s.SaveDirect(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Direct("shop")
	if diff := cmp.Diff([]DirectApp{elsewhere, other, one}, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	if got, err := s.Direct("sho"); err != nil || len(got) != 0 {
		t.Errorf("another name: %v, %v", got, err)
	}

	// One that did not come up leaves what is known of the one that serves.
	failed := one
	failed.DeploymentID, failed.Revision, failed.URL, failed.CA = "d2", 0, "", ""
	if err := s.SaveDirect(t.Context(), failed); err != nil {
		t.Fatal(err)
	}
	want := one
	want.DeploymentID, want.CA = "d2", ""
	if got, err := s.Direct("shop"); err != nil || len(got) != 3 || got[2] != want {
		t.Errorf("after a failure: %+v, %v", got, err)
	}

	// The hint for a name that is not known has them as well.
	var unknown *status.Error
	if _, err := s.Get(t.Context(), "sop", ""); !errors.As(err, &unknown) || !strings.Contains(unknown.Hint, "shop") {
		t.Errorf("got %v", err)
	}
	if err := s.DeleteDirect(t.Context(), one.API, "team", "shop"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Direct(""); err != nil || len(got) != 1 || got[0] != elsewhere {
		t.Errorf("after the end of one: %v, %v", got, err)
	}
	if err := s.DeleteDirect(t.Context(), one.API, "team", "shop"); err != nil {
		t.Errorf("deleted twice: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "direct", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestDirectRefused: what a provider names is bounded, and what is damaged is said.
func TestDirectRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*DirectApp){
		"a name that is a path":  func(a *DirectApp) { a.Name = "../shop" },
		"no name":                func(a *DirectApp) { a.Name = "" },
		"no API":                 func(a *DirectApp) { a.API = "" },
		"no namespace":           func(a *DirectApp) { a.Namespace = "" },
		"no environment":         func(a *DirectApp) { a.Environment = "" },
		"no id":                  func(a *DirectApp) { a.AppID = "" },
		"no deployment":          func(a *DirectApp) { a.DeploymentID = "" },
		"an endless URL":         func(a *DirectApp) { a.URL = strings.Repeat("x", maxDirectText+1) },
		"an endless environment": func(a *DirectApp) { a.Environment = strings.Repeat("x", maxDirectText+1) },
	} {
		a := directApp()
		change(&a)
		if err := s.SaveDirect(t.Context(), a); status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.SaveDirect(t.Context(), directApp()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "direct", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"cut short":       string(good[:len(good)/2]),
		"empty":           "",
		"of another key":  strings.Replace(string(good), `"team"`, `"else"`, 1),
		"a member more":   strings.Replace(string(good), `"team"`, `"team","x":1`, 1),
		"a newer version": strings.Replace(string(good), `"version": 1`, `"version": 2`, 1),
	} {
		bad := filepath.Join(dir, "direct", "shop."+strings.Repeat("0", 32)+".json")
		if name == "of another key" {
			bad = files[0]
		}
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Direct("shop"); status.CodeOf(err) != status.InvalidArgument || len(got) > 1 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if err := os.Remove(bad); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
