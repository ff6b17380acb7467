package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"apocryph/proto/status"
)

// State is the state directory. It is used by several goroutines and processes.
type State struct {
	dir string
	now func() time.Time
	box *box
}

// staleTemp is how old a temporary file is whose writer is surely dead; a write takes milliseconds.
const staleTemp = time.Hour

// Open opens the state in dir, which is created, with mode 0700, where it is missing.
func Open(dir string) (*State, error) {
	if dir == "" {
		return nil, status.New(status.InvalidArgument, "state.dir", "dir: got nothing, want a directory")
	}
	s := &State{dir: dir, now: time.Now}
	for _, d := range []string{"", "api-tokens", "apps", "counters", "direct", "layers", "locks", "logs", "machines", "policies", "receipt-keys"} {
		d = filepath.Join(dir, d)
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, s.diskError(err, d)
		}
		// The directory may be older than we are.
		if info, err := os.Stat(d); err == nil && info.Mode().Perm()&0o077 != 0 {
			if err := os.Chmod(d, 0o700); err != nil {
				return nil, s.diskError(err, d)
			}
		}
		if err := s.removeStale(d); err != nil {
			return nil, err
		}
	}
	s.box = &box{path: filepath.Join(dir, "key")}
	return s, nil
}

func (s *State) removeStale(dir string) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		return s.diskError(err, dir)
	}
	for _, e := range all {
		if !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		if info, err := e.Info(); err == nil && s.now().Sub(info.ModTime()) > staleTemp {
			// Another process may remove it at the same time.
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				return s.diskError(err, dir)
			}
		}
	}
	return nil
}

var (
	// namePattern is a DNS label (RFC 1123), which is what a manifest's name is.
	namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	// providerPattern is the text form of a peer id: base58 or base32 letters and digits.
	providerPattern = regexp.MustCompile(`^[A-Za-z0-9]{1,128}$`)
)

func checkApp(name, provider string) error {
	var faults []status.Fault
	if !namePattern.MatchString(name) {
		faults = append(faults, status.Fault{Field: "name", Got: fmt.Sprintf("%.80q", name), Want: "a DNS label"})
	}
	if !providerPattern.MatchString(provider) {
		faults = append(faults, status.Fault{Field: "provider", Got: fmt.Sprintf("%.80q", provider), Want: "a peer id"})
	}
	if len(faults) > 0 {
		return status.Invalid("state.app", "app", faults)
	}
	return nil
}

// hashName makes a file name of any text. It does not depend on the case of
// letters, which some file systems do not tell apart.
func hashName(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
