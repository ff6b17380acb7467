package build

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest/detect"
	"apocryph/p2p/oci"
	"apocryph/proto/status"
)

// pulling is a registry with one image under any name but those that say otherwise.
func pulling(ctx context.Context, ref oci.Reference, p oci.Platform) (*oci.Image, error) {
	base, err := bases.Base(ctx, "python", p)
	switch {
	case strings.Contains(ref.Name, "missing"):
		return nil, status.New(status.NotFound, "image.not_found", "the registry has no %s", ref.Name)
	case strings.Contains(ref.Name, "private"):
		return nil, status.New(status.PermissionDenied, "image.registry_host", "the registry is in a private network")
	case strings.Contains(ref.Name, "down"):
		return nil, status.Wrap(errors.New("secret"), status.Unavailable, "image.registry", "the registry could not be reached")
	case strings.Contains(ref.Name, "huge"):
		base.Image.Layers[0].Size = maxBrought + 1
	case strings.Contains(ref.Name, "sealed"):
		base.Image.Layers[0].MediaType += oci.EncryptedSuffix
	case strings.Contains(ref.Name, "altered"):
		base.Image.Layers[0].Open = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("another layer")), nil
		}
	case strings.Contains(ref.Name, "gone"):
		base.Image.Layers[0].Open = func(context.Context) (io.ReadCloser, error) {
			return nil, status.New(status.NotFound, "image.blob", "none")
		}
	case strings.Contains(ref.Name, "breaking"):
		base.Image.Layers[0].Open = func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("the"), iotest.ErrReader(status.Wrap(errors.New("secret"), status.Unavailable, "image.registry", "it broke off")))), nil
		}
	}
	return base.Image, err
}

func dockerBuilder(t testing.TB, r Runner) *Builder {
	b := langBuilder(t, r)
	b.cfg.Pull = pulling
	return b
}

func dockerRequest(text string) Request {
	return Request{
		Runtime: Dockerfile, FS: fstest.MapFS{"d/Dockerfile": {Data: []byte(text)}, "d/x": {Data: []byte("x")}},
		Plan: &detect.Plan{Runtime: detect.Dockerfile, Entry: "d/Dockerfile"}, Platform: amd64, Namespace: "shop",
	}
}

// TestDockerfile: what a Dockerfile names is brought to its build, and is told.
func TestDockerfile(t *testing.T) {
	archive := ociArchive(t, "application/vnd.oci.image.layer.v1.tar")
	source := filepath.Join(t.TempDir(), "src")
	r := &runner{leave: func(j Job) error {
		return errors.Join(os.CopyFS(source, j.Source), os.WriteFile(filepath.Join(j.Output, "image.tar"), archive, 0o644))
	}}
	req := dockerRequest("ARG V=3.12\nFROM registry.example/python:$V AS one\nRUN x\nFROM localhost/node\nCOPY --from=one /x /x\nCOPY --from=tool@sha256:" + strings.Repeat("0", 64) + " /y /y\n")
	req.FS.(fstest.MapFS)["d/Dockerfile.dockerignore"] = &fstest.MapFile{Data: []byte("*")}
	res := build(t, dockerBuilder(t, r), req)
	if res.User != "1000" || res.Port != 8000 {
		t.Errorf("%+v", res)
	}
	python, node, tool := baseOf(t, "python"), baseOf(t, "node"), "docker.io/library/tool@sha256:"+strings.Repeat("0", 64)
	if d := cmp.Diff([]Material{
		{"base:dockerfile", baseOf(t, "dockerfile").URI, digestOf(baseOf(t, "dockerfile"))},
		{"image:registry.example/python:3.12", "registry.example/python:3.12@" + python.Image.Digest, digestOf(python)},
		{"image:localhost/node", node.URI, digestOf(node)},
		{"image:" + strings.TrimPrefix(tool, "docker.io/library/"), tool, digestOf(python)},
	}, res.Materials); d != "" {
		t.Error(d)
	}
	j := r.jobs[0]
	if d := cmp.Diff([]string{
		"amd64", "localhost/base:0", "localhost/base:1", "localhost/base:2", "--",
		"--build-context", strings.TrimPrefix(tool, "docker.io/library/") + "=container-image://localhost/base:2", "--ignorefile", "d/Dockerfile.dockerignore",
	}, j.Argv[4:]); d != "" {
		t.Error(d)
	}
	if !j.Nested || j.Dir != "/src/tree" {
		t.Errorf("got %+v", j)
	}
	text, err := os.ReadFile(filepath.Join(source, "dockerfile/Dockerfile"))
	must(t, err)
	if !strings.Contains(string(text), "\nFROM localhost/base:0 AS one\n") || !strings.Contains(string(text), "\nFROM localhost/base:1\n") {
		t.Errorf("got %s", text)
	}
	if _, err := os.Stat(filepath.Join(source, "tree/d/x")); err != nil {
		t.Error(err)
	}
	for n, want := range []Base{python, node, python} {
		got, err := oci.Read(t.Context(), oci.Reference{Transport: oci.Layout, Path: filepath.Join(source, "images", string(rune('0'+n)))}, oci.Options{Platform: amd64})
		if err != nil || got.ID() != want.Image.ID() {
			t.Errorf("image %d: got %v, %v", n, got, err)
		}
	}
	if !slices.ContainsFunc(res.Evidence, func(s string) bool { return strings.HasPrefix(s, "line 2: registry.example/python:3.12 is ") }) {
		t.Errorf("got %q", res.Evidence)
	}
}

func baseOf(t *testing.T, role string) Base {
	t.Helper()
	b, err := bases.Base(t.Context(), role, amd64)
	must(t, err)
	return b
}

func digestOf(b Base) map[string]string {
	return map[string]string{"sha256": strings.TrimPrefix(b.Image.Digest, "sha256:")}
}

// TestDockerfileRefusals: an image that cannot be had is told with its line.
func TestDockerfileRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		code   status.Code
		reason string
		want   string
	}{
		"missing":         {"FROM missing\n", status.InvalidArgument, "build.image", "line 1"},
		"private":         {"FROM scratch\nCOPY --from=private / /\n", status.InvalidArgument, "build.image", "line 2"},
		"down":            {"FROM down\n", status.Unavailable, "build.image", "line 1"},
		"both":            {"FROM missing\nFROM down\n", status.Unavailable, "build.image", "2 faults"},
		"no such base":    {"FROM localhost/ruby\n", status.InvalidArgument, "build.image", "python"},
		"base's tag":      {"FROM localhost/python:3.12\n", status.InvalidArgument, "build.image", "line 1"},
		"layout":          {"FROM oci:/src/tree/base\n", status.InvalidArgument, "build.image", "line 1"},
		"archive":         {"FROM docker-archive:x.tar\n", status.InvalidArgument, "build.image", "line 1"},
		"storage":         {"FROM containers-storage:x\n", status.InvalidArgument, "build.image", "line 1"},
		"IPFS":            {"FROM ipfs:bafy\n", status.InvalidArgument, "build.image", "line 1"},
		"path":            {"FROM ./base\n", status.InvalidArgument, "build.image", "line 1"},
		"no reference":    {"FROM UPPER//x\n", status.InvalidArgument, "build.image", "line 1"},
		"sealed":          {"FROM sealed\n", status.InvalidArgument, "build.image", "line 1"},
		"size":            {"FROM huge\n", status.InvalidArgument, "build.image", "at most"},
		"altered":         {"FROM altered\n", status.InvalidArgument, "build.image", "line 1"},
		"gone":            {"FROM scratch\nFROM gone\n", status.InvalidArgument, "build.image", "line 2"},
		"breaking off":    {"FROM scratch\nFROM breaking\n", status.Unavailable, "build.image", "line 2"},
		"no instructions": {"", status.InvalidArgument, "build.dockerfile", "no instructions"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &runner{leave: func(j Job) error { return os.CopyFS(filepath.Join(t.TempDir(), "src"), j.Source) }}
			_, err := dockerBuilder(t, r).Build(t.Context(), dockerRequest(tt.text))
			if status.CodeOf(err) != tt.code || status.ReasonOf(err) != tt.reason || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v (%s), want %s %s", err, status.ReasonOf(err), tt.reason, tt.want)
			}
			if strings.Contains(status.Public(err).Error(), "secret") {
				t.Errorf("it tells %v", err)
			}
			if len(r.jobs) > 0 && !slices.Contains([]string{"altered", "gone", "breaking off"}, name) {
				t.Error("a command ran")
			}
		})
	}
	for name, change := range map[string]func(*Request, *Builder){
		"no Dockerfile": func(r *Request, _ *Builder) { r.FS = fstest.MapFS{"x": {}} },
		"no registries": func(_ *Request, b *Builder) { b.cfg.Pull = nil },
	} {
		b, req := dockerBuilder(t, leaving(nil)), dockerRequest("FROM python\n")
		change(&req, b)
		if _, err := b.Build(t.Context(), req); !strings.HasPrefix(status.ReasonOf(err), "build.") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestJoined: trees side by side are what each of them is.
func TestJoined(t *testing.T) {
	j := joined{"a": fstest.MapFS{"x/y": {Data: []byte("1")}}, "b": joined{"0": oneFile{"f", []byte("2")}}}
	dir := t.TempDir()
	must(t, os.CopyFS(dir, j))
	for name, want := range map[string]string{"a/x/y": "1", "b/0/f": "2"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"c", "a/z", "../a", "b/1/f", "b/0/f/g"} {
		if _, err := j.Open(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}
