package state

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apocryph/proto/status"
	"apocryph/publisher"
)

func TestNamesThatAreNotNames(t *testing.T) {
	s := newState(t)
	for _, c := range []struct{ name, provider string }{
		{"", "P"},
		{"../x", "P"},
		{"a/b", "P"},
		{"a.b", "P"},
		{"A", "P"},
		{"-a", "P"},
		{strings.Repeat("a", 64), "P"},
		{"a\x00", "P"},
		{"app", "../P"},
		{"app", "P/Q"},
		{"app", strings.Repeat("P", 129)},
	} {
		refused(t, s.Save(t.Context(), sample(c.name, c.provider)), status.InvalidArgument)
		_, err := s.Get(t.Context(), c.name, publisher.ProviderID(c.provider))
		refused(t, err, status.InvalidArgument)
		refused(t, s.Delete(t.Context(), c.name, publisher.ProviderID(c.provider)), status.InvalidArgument)
	}
	refused(t, s.Save(t.Context(), sample("app", "")), status.InvalidArgument, "provider")
	refused(t, s.Save(t.Context(), sample("", "")), status.InvalidArgument, "2 faults")
	_, err := s.Lock("../x")
	refused(t, err, status.InvalidArgument)
	_, err = Open("")
	refused(t, err, status.InvalidArgument)
}

func TestDamagedFiles(t *testing.T) {
	for name, c := range map[string]struct {
		data   string
		reason string
	}{
		"empty": {"", "state.corrupt"}, "cut": {`{"version": 1, "name": "app"`, "state.corrupt"}, "no object": {"[]", "state.corrupt"},
		"no version": {`{"name":"app"}`, "state.corrupt"}, "newer": {`{"version": 2, "colour": "red"}`, "state.newer"},
		"unknown field": {`{"version": 1, "name": "app", "provider": "P1", "colour": "red"}`, "state.corrupt"}, "two values": {`{"version":1,"name":"app","provider":"P1"}{}`, "state.corrupt"},
		"another app": {`{"version":1,"name":"other","provider":"P1"}`, "state.corrupt"}, "wrong type": {`{"version":1,"revision":"x"}`, "state.corrupt"},
		"huge": {strings.Repeat(" ", maxFile+1), "state.corrupt"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState(t)
			must(t, s.Save(t.Context(), sample("app", "P1")))
			must(t, s.Save(t.Context(), sample("good", "P1")))
			path := s.appPath("app", "P1")
			must(t, os.WriteFile(path, []byte(c.data), 0o600))
			_, err := s.Get(t.Context(), "app", "")
			refused(t, err, status.InvalidArgument, path)
			if status.ReasonOf(err) != c.reason {
				t.Errorf("reason is %s", status.ReasonOf(err))
			}
			apps, err := s.List(t.Context())
			refused(t, err, status.InvalidArgument, path)
			if len(apps) != 1 || apps[0].Name != "good" {
				t.Errorf("the others are %v", apps)
			}
			// What cannot be read is not overwritten.
			refused(t, s.Save(t.Context(), sample("app", "P1")), status.InvalidArgument, path)
			if data, err := os.ReadFile(path); err != nil || string(data) != c.data {
				t.Errorf("the file was changed, error %v", err)
			}
		})
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	must(t, os.MkdirAll(filepath.Join(dir, "apps"), 0o755))
	must(t, os.Chmod(dir, 0o755))
	s, err := Open(dir)
	must(t, err)
	must(t, s.Save(t.Context(), sample("app", "P1")))
	must(t, s.Layers().Put(layerKey("x"), []byte("v")))
	release, err := s.Lock("app")
	must(t, err)
	defer release()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return nil
	}))
}

func TestStaleTemporaryFiles(t *testing.T) {
	s := newState(t)
	stale, fresh := filepath.Join(s.dir, "apps", tempPrefix+"1"), filepath.Join(s.dir, "apps", tempPrefix+"2")
	for _, p := range []string{stale, fresh} {
		must(t, os.WriteFile(p, []byte("{"), 0o600))
	}
	must(t, os.Chtimes(stale, time.Time{}, time.Now().Add(-2*staleTemp)))
	s, err := Open(s.dir)
	must(t, err)
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("another process's: %v", err)
	}
	if apps, err := s.List(t.Context()); err != nil || len(apps) != 0 {
		t.Errorf("listed %v, %v", apps, err)
	}
}

func FuzzReadApp(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"app","provider":"P1","pending":{"request_id":"x","sent":"2026-01-02T03:04:05Z"}}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"name":"other","provider":"P1"}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Open(dir)
		must(t, err)
		path := s.appPath("app", "P1")
		must(t, os.WriteFile(path, data, 0o600))
		r, err := s.readApp(path)
		if err == nil && (r.Name != "app" || r.Provider != "P1" || r.Version != appVersion) {
			t.Fatalf("%+v", r)
		}
		if err != nil && status.CodeOf(err) != status.InvalidArgument {
			t.Fatal(err)
		}
	})
}
