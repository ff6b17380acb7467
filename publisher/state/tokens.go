package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"apocryph/proto/status"
)

const tokenVersion = 1

// tokenFile is the token for one API, in a file of mode 0600.
type tokenFile struct {
	Version int    `json:"version"`
	API     string `json:"api"`
	Token   string `json:"token"`
}

func (s *State) tokenPath(api string) string {
	return filepath.Join(s.dir, "api-tokens", hashName(api)+".json")
}

// SetToken stores the token for the API at an address, in place of an earlier one.
func (s *State) SetToken(api, token string) error {
	return s.writeJSON(s.tokenPath(api), tokenFile{tokenVersion, api, token})
}

// Token returns the token for the API at an address, "" where none is stored.
// A file that others may read is refused, invalid_argument: somebody may have.
func (s *State) Token(api string) (string, error) {
	path := s.tokenPath(api)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", s.diskError(err, path)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return "", status.New(status.InvalidArgument, "state.token", "the file of the token for %s can be used by others: its mode is %04o, want 0600", api, info.Mode().Perm()).
			WithHint("revoke the token, and `publisher login` with a new one")
	}
	var f tokenFile
	if err := s.readJSON(path, tokenVersion, &f); err != nil {
		return "", err
	}
	if f.API != api {
		return "", status.New(status.InvalidArgument, "state.corrupt", "%s is for another address than its name says", path)
	}
	return f.Token, nil
}

// RemoveToken forgets the token for the API at an address: not_found where none
// is stored.
func (s *State) RemoveToken(api string) error {
	path := s.tokenPath(api)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return status.New(status.NotFound, "state.token", "no token is stored for %s", api)
	}
	if err != nil {
		return s.diskError(err, path)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("removing a token: %w", err)
	}
	return nil
}
