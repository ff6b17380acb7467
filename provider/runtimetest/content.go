package runtimetest

import (
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

func testCommandLine(t *testing.T, b *Bench) {
	entry, cmd := []string{Probe, "echo", "entrypoint"}, []string{"cmd"}
	for _, c := range []struct {
		name          string
		command, args []string
		want          string
	}{
		{"image's own", nil, nil, "entrypoint cmd\n"},
		{"args replace cmd", nil, []string{"args"}, "entrypoint args\n"},
		{"command replaces both", []string{Probe, "echo", "command"}, nil, "command\n"},
		{"command and args", []string{Probe, "echo", "command"}, []string{"args"}, "command args\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBench(t, b.Runtime)
			s := b.Spec()
			s.Containers[0].Image, s.Containers[0].Key = Build(t, Image{Config: ocispec.ImageConfig{Entrypoint: entry, Cmd: cmd}})
			s.Containers[0].Command, s.Containers[0].Args = c.command, c.args
			if out, code := b.Output(s); out != c.want || code != 0 {
				t.Errorf("got %q and %d, want %q", out, code, c.want)
			}
		})
	}
}

func testEnvironment(t *testing.T, b *Bench) {
	s := b.Spec("env", "A", ";", "env", "B", ";", "env", "C", ";", "env", "HOSTNAME")
	s.Containers[0].Image, s.Containers[0].Key = Build(t, Image{Config: ocispec.ImageConfig{Entrypoint: []string{Probe}, Env: []string{"A=image", "B=image"}}})
	s.Containers[0].Env = []manifest.EnvVar{{Name: "B", Value: "manifest=b"}, {Name: "C", Value: ""}}
	if out, code := b.Output(s); out != "image\nmanifest=b\n\nweb\n" || code != 0 {
		t.Errorf("got %q and %d", out, code)
	}
}

// withVolume gives the first container a persistent volume.
func withVolume(s *provider.InstanceSpec, name, path string) {
	s.Volumes = append(s.Volumes, manifest.Volume{Name: name, Kind: manifest.Persistent})
	s.Containers[0].Mounts = append(s.Containers[0].Mounts, manifest.Mount{Volume: name, Path: path})
}

func testSecrets(t *testing.T, b *Bench) {
	s := b.Spec("sleep")
	s.Volumes = []manifest.Volume{{Name: "tls", Kind: manifest.Secret}}
	s.Secrets = map[string]map[string][]byte{"tls": {"key.pem": []byte("open sesame"), "second": []byte("2")}}
	s.Containers[0].Mounts = []manifest.Mount{{Volume: "tls", Path: "/run/tls"}}
	b.Up(s)
	if out, code := b.Run(s.ID, "cat", "/run/tls/key.pem", ";", "cat", "/run/tls/second"); out != "open sesame\n2" || code != 0 {
		t.Errorf("got %q and %d", out, code)
	}
	if out, code := b.Run(s.ID, "write", "/run/tls/new", "x"); code == 0 {
		t.Errorf("a secret volume could be written: %q", out)
	}
	s.Secrets = map[string]map[string][]byte{"tls": {"key.pem": []byte("another")}}
	b.Up(s)
	if out, _ := b.Run(s.ID, "cat", "/run/tls/key.pem"); out != "another" {
		t.Errorf("after it was created again: %q", out)
	}
	if out, code := b.Run(s.ID, "cat", "/run/tls/second"); code == 0 {
		t.Errorf("an old secret is still there: %q", out)
	}
}

func testPersistent(t *testing.T, b *Bench) {
	first := b.Spec("write", "/data/file", "kept", ";", "sleep")
	withVolume(&first, "data", "/data")
	b.Up(first)
	b.Wait("the file", func() bool {
		out, code := b.Run(first.ID, "cat", "/data/file")
		return code == 0 && out == "kept"
	})
	if err := b.RemoveVolumes(t.Context(), first.Pod); status.CodeOf(err) != status.Conflict {
		t.Errorf("removing volumes in use: %v", err)
	}
	b.Gone(first)

	// Another revision of the same pod has the same files, here read-only.
	second := b.Spec("sleep")
	second.Pod, second.ID = first.Pod, provider.InstanceID(string(first.Pod)+"-2-0")
	withVolume(&second, "data", "/data")
	second.Containers[0].Mounts[0].ReadOnly = true
	b.Up(second)
	if out, code := b.Run(second.ID, "cat", "/data/file"); out != "kept" || code != 0 {
		t.Errorf("the next revision finds %q, %d", out, code)
	}
	if out, code := b.Run(second.ID, "write", "/data/file", "changed"); code == 0 {
		t.Errorf("a read-only mount could be written: %q", out)
	}
	// Another pod with a volume of the same name has its own.
	other := b.Spec("sleep")
	withVolume(&other, "data", "/data")
	b.Up(other)
	if out, code := b.Run(other.ID, "cat", "/data/file"); code == 0 {
		t.Errorf("another pod reads %q", out)
	}
	b.Gone(second)
	if err := b.RemoveVolumes(t.Context(), first.Pod); err != nil {
		t.Fatal(err)
	}
	b.Up(second)
	if out, code := b.Run(second.ID, "cat", "/data/file"); code == 0 {
		t.Errorf("after its volumes were removed, the pod reads %q", out)
	}
}

func testEmpty(t *testing.T, b *Bench) {
	s := b.Spec("sleep")
	s.Volumes = []manifest.Volume{{Name: "scratch", Kind: manifest.EmptyDir}}
	s.Containers = append(s.Containers, b.Container("side", "sleep"))
	for i := range s.Containers {
		s.Containers[i].Mounts = []manifest.Mount{{Volume: "scratch", Path: "/scratch"}}
	}
	b.Up(s)
	if out, code := b.Run(s.ID, "write", "/scratch/a", "x"); code != 0 {
		t.Fatal(out)
	}
	code, out, err := b.Exec(t.Context(), s.ID, "side", []string{Probe, "cat", "/scratch/a"})
	if err != nil || code != 0 || strings.TrimSpace(string(out)) != "x" {
		t.Errorf("the other container reads %q, %d, %v", out, code, err)
	}
	b.Up(s)
	if out, code := b.Run(s.ID, "cat", "/scratch/a"); code == 0 {
		t.Errorf("an empty volume was not empty: %q", out)
	}
}
