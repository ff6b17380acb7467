package oci

import (
	"strings"
	"testing"

	"apocryph/proto/status"

	"github.com/google/go-cmp/cmp"
)

func TestParseReference(t *testing.T) {
	digest := digestOf(nil)
	for s, want := range map[string]Reference{
		"oci:dir":                              {Transport: Layout, Path: "dir"},
		"oci:/a/b:v1":                          {Transport: Layout, Path: "/a/b", Name: "v1"},
		"oci:/a:b/c":                           {Transport: Layout, Path: "/a:b/c"},
		`oci:C:\images\app`:                    {Transport: Layout, Path: `C:\images\app`},
		`oci:C:\images\app:v1`:                 {Transport: Layout, Path: `C:\images\app`, Name: "v1"},
		"oci:dir@" + digest:                    {Transport: Layout, Path: "dir", Digest: digest},
		"oci:me@home":                          {Transport: Layout, Path: "me@home"},
		"oci-archive:a.tar":                    {Transport: Archive, Path: "a.tar"},
		"oci-archive:a.tar:v1":                 {Transport: Archive, Path: "a.tar", Name: "v1"},
		"docker-archive:a.tar":                 {Transport: DockerArchive, Path: "a.tar"},
		"docker-archive:a.tar:x/app:1":         {Transport: DockerArchive, Path: "a.tar", Name: "x/app:1"},
		`docker-archive:C:\a.tar:app`:          {Transport: DockerArchive, Path: `C:\a.tar`, Name: "app"},
		"nginx":                                {Transport: Registry, Name: "nginx"},
		"docker:27":                            {Transport: Registry, Name: "docker:27"},
		"localhost:5000/app:v1":                {Transport: Registry, Name: "localhost:5000/app:v1"},
		"ghcr.io/x/y@" + digest:                {Transport: Registry, Name: "ghcr.io/x/y@" + digest},
		"registry.example.com/a/b:c@" + digest: {Transport: Registry, Name: "registry.example.com/a/b:c@" + digest},
	} {
		got, err := ParseReference(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", s, diff)
		}
		if got.String() != s {
			t.Errorf("%s prints as %s", s, got)
		}
	}
}

func TestParseReferenceRefuses(t *testing.T) {
	for _, s := range []string{
		"", "oci:", "oci::", "oci::v1", "oci:dir:", "oci:dir:bad tag", "oci:dir:" + strings.Repeat("t", 129), "oci:dir@sha256:abc",
		"oci-archive:", "docker-archive:", "docker-archive::app", "docker-archive:a.tar:", "ipfs:bafy", "dir:x", "file:x",
		"docker://nginx", "https://example.com/app", "docker-daemon:app:1", "containers-storage:app", "./app.tar", "../app.tar", "~/app.tar",
		"/abs/app.tar", "UPPER/Case", "nginx:", "nginx@sha256:abc", "a\nb", "oci:a\x00b", strings.Repeat("a", maxReference+1),
	} {
		got, err := ParseReference(s)
		if err == nil {
			t.Errorf("%.40q is %+v", s, got)
			continue
		}
		if status.CodeOf(err) != status.InvalidArgument || len(err.Error()) > 512 {
			t.Errorf("%.40q: %v", s, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"oci:dir:v1", "oci:dir@" + digestOf(nil), `docker-archive:C:\a:b`, "localhost:5000/a:b", "oci-archive:a:b/c", "x@sha256:y", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if err != nil {
			return
		}
		if (r.Path == "") != (r.Transport == Registry) {
			t.Fatalf("%q is %+v", s, r)
		}
		again, err := ParseReference(r.String())
		if err != nil || again != r {
			t.Fatalf("%q is %+v, but what that prints as, %q, is %+v (%v)", s, r, r, again, err)
		}
	})
}

func FuzzParseSaved(f *testing.F) {
	f.Add([]byte(`[{"Config":"a.json","RepoTags":["a:b"],"Layers":["x/layer.tar"]}]`))
	f.Add([]byte(`[{"Config":"a.json","RepoTags":null,"Layers":null}]`))
	f.Add([]byte(`[null]`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseSaved(data, "x")
		if err != nil {
			if status.CodeOf(err) != status.InvalidArgument {
				t.Fatal(err)
			}
			return
		}
		if len(all) == 0 || len(all) > maxSaved {
			t.Fatalf("%d images", len(all))
		}
		for _, s := range all {
			if s.Config == "" || len(s.Layers) > MaxLayers {
				t.Fatalf("%+v", s)
			}
		}
	})
}

func FuzzParseDocument(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"sha256:x","size":1},"layers":[]}`), MediaTypeManifest)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"x","platform":{"os":"linux"}}]}`), MediaTypeIndex)
	f.Add([]byte(`{"schemaVersion":1}`), "")
	f.Fuzz(func(t *testing.T, data []byte, mediaType string) {
		d, err := parseDocument(data, mediaType, "x")
		if err == nil && d.Manifests != nil && (d.Config != nil || d.Layers != nil) {
			t.Fatal("both an index and a manifest")
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"os":"linux","architecture":"arm","variant":"v7","rootfs":{"type":"layers","diff_ids":["sha256:x"]}}`))
	f.Add([]byte(`{"os":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(data, "x")
		if err == nil && len(c.DiffIDs) > MaxLayers {
			t.Fatal("too many layers")
		}
	})
}
