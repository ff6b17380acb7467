package state

import (
	"os"
	"testing"

	"apocryph/proto/status"
)

// TestKeyFile: what is sealed does not open without the key file, and nothing
// else needs it.
func TestKeyFile(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(path string) error
		code   status.Code
	}{
		"lost":  {os.Remove, status.NotFound},
		"short": {func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) }, status.InvalidArgument},
		"other": {func(p string) error { return os.WriteFile(p, make([]byte, keySize), 0o600) }, status.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState(t)
			must(t, s.Save(t.Context(), sample("app", "P1")))
			sealed, err := s.box.seal([]byte("secret-canary"), "here")
			must(t, err)
			must(t, c.damage(s.box.path))
			_, err = s.box.open(sealed, "here")
			refused(t, err, c.code, s.box.path, "deploy again")
			if _, err := s.Get(t.Context(), "app", ""); err != nil {
				t.Errorf("the app cannot be used without the key file: %v", err)
			}
		})
	}
}

// TestSealedStaysInItsPlace: sealed bytes do not open under another name.
func TestSealedStaysInItsPlace(t *testing.T) {
	s := newState(t)
	sealed, err := s.box.seal([]byte("v"), "here")
	must(t, err)
	_, err = s.box.open(sealed, "there")
	refused(t, err, status.InvalidArgument, "does not open")
}
