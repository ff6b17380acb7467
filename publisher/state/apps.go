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

	"apocryph/proto/status"
	"apocryph/publisher"
)

var _ publisher.Apps = (*State)(nil)

func (s *State) appPath(name, provider string) string {
	return filepath.Join(s.dir, "apps", name+"."+hashName(provider)+".json")
}

// Save writes an app. What was released for it stays; a zero Created is filled
// in from what was there, or with Updated.
func (s *State) Save(ctx context.Context, a publisher.App) error {
	return s.update(ctx, a.Name, string(a.Provider.ID), func(r *record) error {
		created := r.Created
		r.put(a)
		if r.Created.IsZero() {
			r.Created = created
		}
		if r.Created.IsZero() {
			r.Created = r.Updated
		}
		return nil
	})
}

// update reads an app's record, or starts an empty one, and writes it back, so
// that nobody else writes in between.
func (s *State) update(ctx context.Context, name, provider string, change func(*record) error) error {
	if err := checkApp(name, provider); err != nil {
		return err
	}
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	path := s.appPath(name, provider)
	r, err := s.readApp(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := change(&r); err != nil {
		return err
	}
	return s.writeJSON(path, r)
}

// readApp reads a record and checks that it is the one that its name says.
func (s *State) readApp(path string) (record, error) {
	var r record
	if err := s.readJSON(path, appVersion, &r); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return record{}, s.diskError(err, path)
		}
		return record{}, err
	}
	if checkApp(r.Name, r.Provider) != nil || s.appPath(r.Name, r.Provider) != path {
		return record{}, status.New(status.InvalidArgument, "state.corrupt", "%s is damaged: it is about app %.80q at %.80q", path, r.Name, r.Provider).
			WithHint("move the file away")
	}
	return r, nil
}

// appFiles lists the files of the apps of a name, or of all for "", sorted.
func (s *State) appFiles(name string) ([]string, error) { return s.filesOf("apps", name) }

// filesOf lists the files NAME.HASH.json of a directory.
func (s *State) filesOf(kind, name string) ([]string, error) {
	dir := filepath.Join(s.dir, kind)
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, s.diskError(err, dir)
	}
	var files []string
	for _, e := range all {
		// Temporary files begin with a dot; a name has no dot in it.
		of, rest, ok := strings.Cut(e.Name(), ".")
		if ok && of != "" && strings.HasSuffix(rest, ".json") && (name == "" || of == name) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// Get returns the app of a name. An empty provider is fine while one provider
// has it; else the error, an invalid_argument, lists them.
func (s *State) Get(_ context.Context, name string, provider publisher.ProviderID) (publisher.App, error) {
	r, err := s.find(name, string(provider))
	if err != nil {
		return publisher.App{}, err
	}
	return r.app(), nil
}

func (s *State) find(name, provider string) (record, error) {
	if provider != "" {
		if err := checkApp(name, provider); err != nil {
			return record{}, err
		}
		r, err := s.readApp(s.appPath(name, provider))
		if errors.Is(err, fs.ErrNotExist) {
			return record{}, s.unknown(fmt.Sprintf("%s at %s", name, provider))
		}
		return r, err
	}
	if !namePattern.MatchString(name) {
		return record{}, status.New(status.InvalidArgument, "state.app", "name: got %.80q, want a DNS label", name)
	}
	files, err := s.appFiles(name)
	if err != nil {
		return record{}, err
	}
	var found []record
	for _, path := range files {
		r, err := s.readApp(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return record{}, err
		}
		found = append(found, r)
	}
	switch len(found) {
	case 0:
		return record{}, s.unknown(name)
	case 1:
		return found[0], nil
	}
	var providers []string
	for _, r := range found {
		providers = append(providers, r.Provider)
	}
	slices.Sort(providers)
	return record{}, status.New(status.InvalidArgument, "state.ambiguous", "%s runs at %d providers: %s", name, len(providers), strings.Join(providers, ", ")).
		WithHint("choose one with --provider")
}

func (s *State) unknown(what string) error {
	err := status.New(status.NotFound, "state.not_found", "no app named %s was deployed from here", what)
	files, listErr := s.appFiles("")
	direct, directErr := s.filesOf("direct", "")
	if files = append(files, direct...); errors.Join(listErr, directErr) != nil || len(files) == 0 {
		return err.WithHint("publisher deploy deploys one")
	}
	var names []string
	for _, f := range files {
		of, _, _ := strings.Cut(filepath.Base(f), ".")
		names = append(names, of)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxNamed {
		names = append(names[:maxNamed], "...")
	}
	return err.WithHint("there are: %s", strings.Join(names, ", "))
}

// maxNamed bounds how many apps a hint lists.
const maxNamed = 16

// List returns all apps, sorted by name and provider. Files that cannot be used
// are in the error, which names them; the other apps are returned beside it.
func (s *State) List(_ context.Context) ([]publisher.App, error) {
	files, err := s.appFiles("")
	if err != nil {
		return nil, err
	}
	var (
		apps []publisher.App
		errs []error
	)
	for _, path := range files {
		r, err := s.readApp(path)
		switch {
		case err == nil:
			apps = append(apps, r.app())
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	slices.SortFunc(apps, func(a, b publisher.App) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(string(a.Provider.ID), string(b.Provider.ID))
	})
	return apps, errors.Join(errs...)
}

// Delete forgets an app with its keys; provider as in [State.Get].
func (s *State) Delete(ctx context.Context, name string, provider publisher.ProviderID) error {
	release, err := s.change(ctx)
	if err != nil {
		return err
	}
	defer release()
	r, err := s.find(name, string(provider))
	if err != nil {
		return err
	}
	path := s.appPath(r.Name, r.Provider)
	if err := os.Remove(path); err != nil {
		return s.diskError(err, path)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return s.diskError(err, path)
	}
	return nil
}
