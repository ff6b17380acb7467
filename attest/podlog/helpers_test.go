package podlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var at = time.Date(2026, 11, 21, 10, 0, 0, 120e6, time.UTC)

func sum(s string) Digest { return sha256.Sum256([]byte(s)) }

// salt is deterministic, so that goldens are.
func salt(n uint64) Salt {
	return Salt(sha256.Sum256(binary.BigEndian.AppendUint64([]byte("salt"), n)))
}

// events is one of each kind, in an order that is allowed.
func events() []Event {
	return []Event{
		&AgentStart{at, "0.1.0", sum("binary"), "12D3KooWExample", []byte{1, 2, 3}, KeysDigest([]byte("hpke"), []byte("receipt"))},
		&Config{at, "provider", sum("config"), "fscrypt", []string{"ssh", "debug-shell"}},
		&Config{at, "policy", sum("policy"), "fscrypt", nil},
		&Ready{at},
		&PodCreate{at, "mzxw6ytboi", 3, "12D3KooWPublisher", sum("manifest")},
		&KeyRelease{at, "mzxw6ytboi", 3, sum("claims"), sum("manifest"), []string{"web"}},
		&ImageExec{at, "mzxw6ytboi", "mzxw6ytboi-3-0", "web", "bafyweb", sum("image"), ListDigest([]string{"/app", "-v"}), ListDigest(nil), ListDigest([]string{"a:b:ro"}), SortedListDigest([]string{"b", "a"})},
		&PodStart{at, "mzxw6ytboi", 3, "mzxw6ytboi-3-0"},
		&ExecAttempt{at, "mzxw6ytboi", "mzxw6ytboi-3-0", "web", "operator", ListDigest([]string{"sh"}), false, 4},
		&BuildDone{at, "mzxw6ytboi", "gh:owner/repo#0123", sum("built"), "bafybuilt", sum("provenance")},
		&PodStop{at, "mzxw6ytboi", 3, "mzxw6ytboi-3-0", "requested"},
	}
}

func seal(t testing.TB, es ...Event) ([]Record, []Opening) {
	t.Helper()
	rs, os := make([]Record, len(es)), make([]Opening, len(es))
	for i, e := range es {
		var err error
		if rs[i], os[i], err = Seal(uint64(i), e, salt(uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	return rs, os
}

func sample(t testing.TB) []Record {
	rs, _ := seal(t, events()...)
	return rs
}

func refused(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Errorf("got %v (%v %s), want %v %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has changed: got\n%s", path, got)
	}
}
