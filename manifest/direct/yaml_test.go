package direct

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

// TestYAML: a file says the same as the JSON of a deploy.
func TestYAML(t *testing.T) {
	file := "name: shop\nruntime: static\nport: 8080\nenv:\n  A: \"1\"\n  B: 2\nreplicas: 2\nhealth:\n  http: /up\nlabels: {team: a}\ndirectory: web/site\n"
	fromFile, err := ParseYAML([]byte(file), Defaults{Namespace: "ns"})
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := Parse([]byte(`{"name":"shop","runtime":"static","port":8080,"env":{"A":"1","B":2},"replicas":2,"health":{"http":"/up"},"labels":{"team":"a"}}`), Defaults{Namespace: "ns"})
	if err != nil {
		t.Fatal(err)
	}
	if fromFile.Directory != "web/site" {
		t.Errorf("got directory %q", fromFile.Directory)
	}
	fromFile.Directory = ""
	if diff := cmp.Diff(fromJSON, fromFile); diff != "" {
		t.Errorf("the two forms differ:\n%s", diff)
	}
	beside, err := ParseYAML([]byte("name: shop\nruntime: static\n"), Defaults{Namespace: "ns"})
	if err != nil || beside.Directory != "." {
		t.Errorf("got %v, %v", beside, err)
	}
}

// TestYAMLIsRefused tells all faults of a file, each with its line.
func TestYAMLIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		faults []string
	}{
		"no yaml":        {"name: [", []string{"1 syntax"}},
		"empty":          {"", []string{"0 file"}},
		"two documents":  {"name: a\n---\nname: b\n", []string{"0 syntax"}},
		"a list":         {"- a\n", []string{"1 document"}},
		"unknown field":  {"name: shop\nruntime: static\nruntme: x\n", []string{"3 /runtme"}},
		"twice":          {"name: shop\nname: shop\nruntime: static\n", []string{"2 name"}},
		"alias":          {"name: &a shop\nruntime: *a\n", []string{"1 name", "2 runtime"}},
		"several":        {"name: Shop\nruntime: what\nport: x\n", []string{"1 /name", "2 /runtime", "3 /port"}},
		"a source":       {"name: shop\nruntime: static\nsource: gh:a/b\nref: main\ncommit_sha: abcdef0\n", []string{"3 /source", "4 /ref", "5 /commit_sha"}},
		"outside":        {"name: shop\nruntime: static\ndirectory: ../other\n", []string{"3 /directory"}},
		"outside, later": {"name: shop\nruntime: static\ndirectory: a/../../b\n", []string{"3 /directory"}},
		"absolute":       {"name: shop\nruntime: static\ndirectory: /etc\n", []string{"3 /directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseYAML([]byte(c.file), Defaults{Namespace: "ns"})
			var e *status.Error
			if !errors.As(err, &e) || e.Code != status.InvalidArgument {
				t.Fatalf("got %v", err)
			}
			var got []string
			for _, f := range e.Faults {
				got = append(got, strings.TrimSpace(string(rune('0'+f.Line))+" "+f.Field))
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.faults, got); diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func FuzzParseYAML(f *testing.F) {
	f.Add([]byte("name: shop\nruntime: static\nenv: {A: 1, B: 2001-01-01, C: 0x10, D: ~}\ndirectory: a\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseYAML(b, Defaults{Namespace: "ns"})
		if err == nil && (m.Pod == nil || m.Directory == "" || strings.HasPrefix(m.Directory, "..")) {
			t.Errorf("got %+v", m)
		}
		if err != nil && status.CodeOf(err) != status.InvalidArgument {
			t.Errorf("got %v", err)
		}
	})
}
