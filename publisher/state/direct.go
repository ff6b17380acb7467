package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"apocryph/proto/status"
)

const (
	directVersion = 1
	// maxDirectText bounds each text of a direct app's file, in bytes: the API is
	// another machine, which could name things without an end.
	maxDirectText = 4096
)

// DirectApp is an app that was deployed over a provider's HTTP API. Its API,
// Namespace, Name and Environment are its key.
type DirectApp struct {
	Version     int    `json:"version"`
	Name        string `json:"name"`
	API         string `json:"api"`
	Namespace   string `json:"namespace"`
	Environment string `json:"environment"`
	// CA is the file of certificates, PEM, that the API was trusted by; empty for
	// the system's.
	CA           string `json:"ca,omitempty"`
	AppID        string `json:"app_id"`
	DeploymentID string `json:"deployment_id"`
	// What follows is of the last deployment from here that came up.
	PodID          string    `json:"pod_id,omitempty"`
	Revision       uint64    `json:"revision,omitempty"`
	ImageDigest    string    `json:"image_digest,omitempty"`
	ManifestDigest string    `json:"manifest_digest,omitempty"`
	URL            string    `json:"url,omitempty"`
	PreviewURL     string    `json:"preview_url,omitempty"`
	Updated        time.Time `json:"updated"`
}

// key is what tells two apps of a name apart.
func (a DirectApp) key() string { return a.API + "\n" + a.Namespace + "\n" + a.Environment }

func (s *State) directPath(a DirectApp) string {
	return filepath.Join(s.dir, "direct", a.Name+"."+hashName(a.key())+".json")
}

func (a DirectApp) check() error {
	var faults []status.Fault
	if !namePattern.MatchString(a.Name) {
		faults = append(faults, status.Fault{Field: "name", Got: fmt.Sprintf("%.80q", a.Name), Want: "a DNS label"})
	}
	for _, f := range []struct{ field, text string }{
		{"api", a.API},
		{"namespace", a.Namespace},
		{"environment", a.Environment},
		{"app_id", a.AppID},
		{"deployment_id", a.DeploymentID},
	} {
		if f.text == "" || len(f.text) > maxDirectText {
			faults = append(faults, status.Fault{Field: f.field, Got: fmt.Sprintf("%d bytes", len(f.text)), Want: fmt.Sprintf("1 to %d", maxDirectText)})
		}
	}
	for _, text := range []string{a.CA, a.PodID, a.ImageDigest, a.ManifestDigest, a.URL, a.PreviewURL} {
		if len(text) > maxDirectText {
			faults = append(faults, status.Fault{Field: "app", Got: fmt.Sprintf("a text of %d bytes", len(text)), Want: fmt.Sprintf("at most %d", maxDirectText)})
		}
	}
	if len(faults) > 0 {
		return status.Invalid("state.app", "app", faults)
	}
	return nil
}

// SaveDirect writes an app. A revision of 0 is of a deployment that did not come
// up: what was known of the one before stays.
func (s *State) SaveDirect(ctx context.Context, a DirectApp) error {
	if err := a.check(); err != nil {
		return err
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	path := s.directPath(a)
	if a.Revision == 0 {
		if was, err := s.readDirect(path); err == nil {
			was.AppID, was.DeploymentID, was.CA = a.AppID, a.DeploymentID, a.CA
			a = was
		}
	}
	a.Version = directVersion
	return s.writeJSON(path, a)
}

func (s *State) readDirect(path string) (DirectApp, error) {
	var a DirectApp
	if err := s.readJSON(path, directVersion, &a); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return DirectApp{}, s.diskError(err, path)
		}
		return DirectApp{}, err
	}
	if a.check() != nil || s.directPath(a) != path {
		return DirectApp{}, status.New(status.InvalidArgument, "state.corrupt", "%s is damaged: it is about app %.80q at %.80q", path, a.Name, a.API).
			WithHint("move the file away")
	}
	return a, nil
}

// Direct returns the apps of a name that were deployed over HTTP, or all for "",
// sorted by name and key. Files that cannot be used are in the error, which names
// them; the other apps are returned beside it.
func (s *State) Direct(name string) ([]DirectApp, error) {
	files, err := s.filesOf("direct", name)
	if err != nil {
		return nil, err
	}
	var (
		apps []DirectApp
		errs []error
	)
	for _, path := range files {
		a, err := s.readDirect(path)
		switch {
		case err == nil:
			apps = append(apps, a)
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	slices.SortFunc(apps, func(a, b DirectApp) int { return strings.Compare(a.Name+"\n"+a.key(), b.Name+"\n"+b.key()) })
	return apps, errors.Join(errs...)
}

// DeleteDirect forgets an app in all its environments.
func (s *State) DeleteDirect(ctx context.Context, api, namespace, name string) error {
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	apps, err := s.Direct(name)
	for _, a := range apps {
		if a.API != api || a.Namespace != namespace {
			continue
		}
		path := s.directPath(a)
		if rmErr := os.Remove(path); rmErr != nil {
			return s.diskError(rmErr, path)
		}
		if syncErr := syncDir(filepath.Dir(path)); syncErr != nil {
			return s.diskError(syncErr, path)
		}
	}
	return err
}
