package state

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"apocryph/proto/status"
)

func TestReleasedKeys(t *testing.T) {
	s := newState(t)
	key := bytes.Repeat([]byte("PRIVATE-KEY-CANARY"), 5)
	rel := Release{ClaimsDigest: "sha256:c", Keys: map[string]Secret{"k1": key, "k2": []byte("other")}}
	refused(t, s.SaveRelease(t.Context(), "app", "P1", rel), status.NotFound)
	must(t, s.Save(t.Context(), sample("app", "P1")))
	if got, err := s.Released(t.Context(), "app", ""); err != nil || got.Keys != nil {
		t.Errorf("before: %v, %v", got, err)
	}
	must(t, s.SaveRelease(t.Context(), "app", "P1", rel))
	// Saving the app again leaves the keys alone.
	must(t, s.Save(t.Context(), sample("app", "P1")))
	again, err := Open(s.dir)
	must(t, err)
	got, err := again.Released(t.Context(), "app", "")
	must(t, err)
	if got.ClaimsDigest != rel.ClaimsDigest || !bytes.Equal(got.Keys["k1"], key) || len(got.Keys) != 2 {
		t.Error("the keys are not those saved")
	}
	data, err := os.ReadFile(s.appPath("app", "P1"))
	must(t, err)
	for _, leak := range []string{"CANARY", base64.StdEncoding.EncodeToString(key)[:40]} {
		if strings.Contains(string(data), leak) {
			t.Errorf("%s is on disk", leak)
		}
	}
	tooMany := Release{Keys: map[string]Secret{}}
	for i := range maxKeys + 1 {
		tooMany.Keys[fmt.Sprint(i)] = nil
	}
	refused(t, s.SaveRelease(t.Context(), "app", "P1", tooMany), status.InvalidArgument, "257")
}

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
			must(t, s.SaveRelease(t.Context(), "app", "P1", Release{Keys: map[string]Secret{"k": []byte("secret-canary")}}))
			must(t, c.damage(s.box.path))
			_, err := s.Released(t.Context(), "app", "")
			refused(t, err, c.code, s.box.path, "deploy again")
			if _, err := s.Get(t.Context(), "app", ""); err != nil {
				t.Errorf("the app cannot be used without its keys: %v", err)
			}
		})
	}
}

// TestSecretsDoNotMove puts the sealed key of one app into the file of another.
func TestSecretsDoNotMove(t *testing.T) {
	s := newState(t)
	for _, name := range []string{"app", "other"} {
		must(t, s.Save(t.Context(), sample(name, "P1")))
		must(t, s.SaveRelease(t.Context(), name, "P1", Release{Keys: map[string]Secret{"k": []byte(name)}}))
	}
	from, err := s.readApp(s.appPath("other", "P1"))
	must(t, err)
	must(t, s.update(t.Context(), "app", "P1", func(r *record) error { r.Release = from.Release; return nil }))
	_, err = s.Released(t.Context(), "app", "")
	refused(t, err, status.InvalidArgument, "does not open")
}

func TestSecretDoesNotPrint(t *testing.T) {
	rel := Release{Keys: map[string]Secret{"k": Secret("canary")}}
	var buf bytes.Buffer
	slog.New(slog.NewTextHandler(&buf, nil)).Info("x", "secret", rel.Keys["k"], "release", rel)
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("x", "secret", rel.Keys["k"], "release", rel)
	data, err := json.Marshal(rel)
	must(t, err)
	text := fmt.Sprintf("%v %+v %#v %s %x %q %d", rel, rel, rel.Keys["k"], rel.Keys["k"], rel.Keys["k"], rel.Keys["k"], rel.Keys["k"]) + buf.String() + string(data)
	for _, leak := range []string{"canary", "63616e617279", "99 97 110", base64.StdEncoding.EncodeToString([]byte("canary"))} {
		if strings.Contains(text, leak) {
			t.Errorf("%s in %s", leak, text)
		}
	}
}
