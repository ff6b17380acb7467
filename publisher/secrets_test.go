package publisher_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/publisher"
)

func secretVolumes(sources ...string) *manifest.Manifest {
	m := &manifest.Manifest{Volumes: []manifest.Volume{{Name: "other", Kind: manifest.Persistent, Source: "not-read"}}}
	for i, s := range sources {
		m.Volumes = append(m.Volumes, manifest.Volume{Name: fmt.Sprintf("s%d", i), Kind: manifest.Secret, Source: s})
	}
	return m
}

func TestReadSecrets(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	write := func(path string, data []byte) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, data, 0o600))
	}
	write(filepath.Join(dir, "password"), []byte("one"))
	write(filepath.Join(dir, "tls", "key"), []byte("two"))
	write(filepath.Join(dir, "tls", "cert"), nil)
	write(filepath.Join(dir, "tls", "sub", "not-read"), []byte("x"))
	write(filepath.Join(elsewhere, "abs"), bytes.Repeat([]byte{1}, 1<<20))
	got, err := publisher.ReadSecrets(secretVolumes("password", "tls", filepath.Join(elsewhere, "abs")), dir)
	must(t, err)
	want := map[string]map[string][]byte{
		"s0": {"password": []byte("one")}, "s1": {"key": []byte("two"), "cert": {}}, "s2": {"abs": bytes.Repeat([]byte{1}, 1<<20)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read:\n%s", diff)
	}
}

// TestSecretsThatCannotBeRead are all reported at once, without a byte of them.
func TestSecretsThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "empty"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "many"), 0o700))
	for i := range 257 {
		must(t, os.WriteFile(filepath.Join(dir, "many", fmt.Sprint(i)), nil, 0o600))
	}
	must(t, os.WriteFile(filepath.Join(dir, "large"), bytes.Repeat([]byte("CANARY"), 1<<18), 0o600))
	must(t, os.MkdirAll(filepath.Join(dir, "sum"), 0o700))
	for i := range 3 {
		must(t, os.WriteFile(filepath.Join(dir, "sum", fmt.Sprint(i)), bytes.Repeat([]byte("CANARY"), 1<<16), 0o600))
	}
	_, err := publisher.ReadSecrets(secretVolumes("missing", "empty", "many", "large", "sum"), dir)
	refused(t, err, status.InvalidArgument, "manifest.secrets")
	e := status.Public(err)
	if len(e.Faults) != 5 {
		t.Fatalf("got %d faults: %v", len(e.Faults), e.Faults)
	}
	for i, want := range []string{"no such file", "0 files", "257 files", "more than 1048576 bytes", "more than 1048576 bytes"} {
		f := e.Faults[i]
		if f.Field != fmt.Sprintf("volumes[%d].source", i+1) || !strings.Contains(f.Got, want) {
			t.Errorf("got %v, want %q", f, want)
		}
	}
	if all := fmt.Sprintf("%v %+v", err, e); strings.Contains(all, "CANARY") || strings.Contains(all, dir) {
		t.Errorf("the error shows too much: %s", all)
	}
}
