package state

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"apocryph/proto/status"
)

const api = "https://api.example.org"

func TestTokens(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if token, err := s.Token(api); token != "" || err != nil {
		t.Errorf("before: %q, %v", token, err)
	}
	for _, token := range []string{"one", "two"} {
		if err := s.SetToken(api, token); err != nil {
			t.Fatal(err)
		}
		again, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Token(api); got != token || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, token)
		}
		if got, err := again.Token(api + ":8443"); got != "" || err != nil {
			t.Errorf("another address has %q, %v", got, err)
		}
	}
	if info, err := os.Stat(s.tokenPath(api)); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := s.RemoveToken(api); err != nil {
		t.Error(err)
	}
	if err := s.RemoveToken(api); status.CodeOf(err) != status.NotFound {
		t.Errorf("a second time: %v", err)
	}
	if token, err := s.Token(api); token != "" || err != nil {
		t.Errorf("after: %q, %v", token, err)
	}
}

func TestTokenRefused(t *testing.T) {
	for name, spoil := range map[string]func(s *State, path string) error{
		"others can read it": func(_ *State, path string) error { return os.Chmod(path, 0o640) },
		"damaged":            func(_ *State, path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
		"of a newer program": func(_ *State, path string) error { return os.WriteFile(path, []byte(`{"version":2}`), 0o600) },
		"for another address": func(s *State, path string) error {
			return s.writeJSON(path, tokenFile{1, "https://other.example", "word"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SetToken(api, "secretword"); err != nil {
				t.Fatal(err)
			}
			if err := spoil(s, s.tokenPath(api)); err != nil {
				t.Fatal(err)
			}
			token, err := s.Token(api)
			if token != "" || status.CodeOf(err) != status.InvalidArgument || strings.Contains(err.Error(), "secretword") {
				t.Errorf("got %q, %v", token, err)
			}
		})
	}
}
