package manifest

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/proto/status"
)

func mustParse(t *testing.T, text string) *Manifest {
	t.Helper()
	m, err := ParseFile([]byte(text))
	if err != nil {
		t.Fatalf("parsing: %v\n%s", err, strings.Join(faultLines(err), "\n"))
	}
	return m
}

func faultLines(err error) []string {
	var e *status.Error
	if !errors.As(err, &e) {
		return nil
	}
	var out []string
	for _, f := range e.Faults {
		out = append(out, f.String())
	}
	return out
}

func defaults() Resources {
	return Resources{CPUMillis: 500, MemoryBytes: 256 << 20, PIDs: 512}
}

func TestParseMinimal(t *testing.T) {
	want := &Manifest{
		Name: "hello",
		Containers: []Container{{
			Name: "hello", Image: Image{Ref: "oci:hello"}, Resources: defaults(),
			Ports: []Port{{TargetPort: 8080, Protocol: HTTP}},
		}},
		Replicas: Replicas{Min: 1, Max: 1}, RuntimeClass: "runc",
	}
	forms := map[string]string{
		"block": "name: hello\ncontainers:\n- image: oci:hello\n  port: 8080\n",
		"json":  "{\"name\": \"hello\",\n\t\"containers\": [{\"image\": \"oci:hello\", \"port\": 8080}]}",
		"ports": "name: hello\ncontainers: [{name: hello, image: oci:hello, ports: [8080/http]}]",
		"long":  "name: hello\ncontainers: [{image: oci:hello, ports: [{port: 8080, protocol: HTTP}]}]\nreplicas: 1",
		"start": "---\nname: hello\ncontainers: [{image: oci:hello, port: \"8080\"}]\nreplicas: {min: 1}\n",
	}
	for name, text := range forms {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, mustParse(t, text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseFull(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		Name: "shop", RuntimeClass: "gvisor", Replicas: Replicas{Min: 2, Max: 2},
		Access: Access{Exec: true, PortForward: true},
		Containers: []Container{
			{
				Name: "web", Image: Image{Ref: "docker-archive:web.tar"},
				Command: []string{"/bin/web", "--title", "a b"}, Args: []string{"--listen", "8080"}, WorkingDir: "/srv",
				Env: []EnvVar{{"DEBUG", "true"}, {"EMPTY", ""}, {"VERSION", "1.10"}, {"ZED", "last"}},
				Ports: []Port{
					{TargetPort: 8080, Protocol: HTTP, Host: "shop.example.org"},
					{TargetPort: 9090, Protocol: TCP},
					{Port: 123, TargetPort: 321, Protocol: TCP},
					{Port: 53, TargetPort: 53, Protocol: UDP},
					{Port: 5432, TargetPort: 5432, Protocol: TCP, HostIP: "2001:db8::1", Name: "pg"},
				},
				Resources: Resources{
					CPUMillis: 250, MemoryBytes: 64 << 20, EphemeralBytes: 1e9, PIDs: 64,
					Extended: []ExtendedResource{{"example.com/fpga", 2}, {"nvidia.com/gpu", 1}},
				},
				Health: &Health{
					HTTP:     &HTTPCheck{Port: 8080, Path: "/health"},
					Interval: 5 * time.Second, Timeout: 1500 * time.Millisecond, Start: 30 * time.Second, Failures: 5,
				},
				Mounts: []Mount{{"data", "/data", false}, {"web-1", "/tmp", false}, {"keys", "/run/keys", true}},
			},
			{
				Name: "db", Image: Image{Ref: "registry.example.org/db:1"},
				Ports:     []Port{{TargetPort: 7000, Protocol: TCP}},
				Resources: Resources{CPUMillis: 2000, MemoryBytes: 1 << 30, PIDs: 512},
				Health: &Health{
					Command: []string{"db", "ping"}, Interval: 10 * time.Second,
					Timeout: 2 * time.Second, Start: time.Minute, Failures: 3,
				},
				Mounts: []Mount{{"data", "/var/lib/db", true}},
			},
			{
				Name: "side", Image: Image{Ref: "ipfs:bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"},
				Resources: defaults(),
				Health: &Health{
					TCP: &TCPCheck{7000}, Interval: 10 * time.Second,
					Timeout: 2 * time.Second, Start: time.Minute, Failures: 3,
				},
			},
		},
		Volumes: []Volume{
			{Name: "data", Kind: Persistent, Bytes: 2 << 30},
			{Name: "web-1", Kind: EmptyDir, Bytes: 100 << 20},
			{Name: "keys", Kind: Secret, Source: "keys/"},
		},
	}
	if diff := cmp.Diff(want, mustParse(t, string(data))); diff != "" {
		t.Error(diff)
	}
}

// TestContainerForms reads one container from the text in braces.
func TestContainerForms(t *testing.T) {
	container := func(t *testing.T, text string) Container {
		return mustParse(t, "name: a\ncontainers:\n- image: x\n  "+text).Containers[0]
	}
	t.Run("env list", func(t *testing.T) {
		got := container(t, "env: [{name: B, value: 0x10}, {name: A, value: \"l1\\nl2\"}]").Env
		if diff := cmp.Diff([]EnvVar{{"A", "l1\nl2"}, {"B", "0x10"}}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("http check with port", func(t *testing.T) {
		for _, text := range []string{`{http: 9/h}`, `{http: {path: /h, port: 9}}`} {
			if diff := cmp.Diff(&HTTPCheck{9, "/h"}, container(t, "health: "+text).Health.HTTP); diff != "" {
				t.Error(diff)
			}
		}
	})
	t.Run("one http port on two hosts", func(t *testing.T) {
		got := container(t, "health: {http: /}\n  ports: [{port: 80, host: a.example.org}, {targetPort: 80, host: b.example.org}]")
		want := []Port{{TargetPort: 80, Protocol: HTTP, Host: "a.example.org"}, {TargetPort: 80, Protocol: HTTP, Host: "b.example.org"}}
		if diff := cmp.Diff(want, got.Ports); diff != "" || got.Health.HTTP.Port != 80 {
			t.Error(diff, got.Health)
		}
	})
	t.Run("external port assigned", func(t *testing.T) {
		got := container(t, "ports: [{targetPort: 80}, {port: 0, targetPort: 81}, {targetPort: 82, port: 83}]").Ports
		want := []Port{{TargetPort: 80, Protocol: TCP}, {TargetPort: 81, Protocol: TCP}, {Port: 83, TargetPort: 82, Protocol: TCP}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("several shell words", func(t *testing.T) {
		got := container(t, "command: |\n    sh -c 'a && b\n    c'\n").Command
		if diff := cmp.Diff([]string{"sh", "-c", "a && b\nc"}, got); diff != "" {
			t.Error(diff)
		}
	})
}
