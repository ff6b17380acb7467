package httpclient

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/manifest/direct"
	"apocryph/proto/status"
)

const full = `
name: shop
replicas: 2
access: {exec: true}
containers:
  - image: registry.example/shop:1
    command: [/app, "--a b"]
    args: [x, ""]
    workingDir: /srv
    env: {A: "1", B: "two\nlines", C: ""}
    port: 8080
    host: shop.example.org
    ports: ["5353:53/udp", 9000, {port: 7000, targetPort: 7001, hostIP: 192.0.2.1, name: admin}]
    resources: {cpu: 250m, memory: 64Mi, ephemeral-storage: 1Gi, pids: 77, nvidia.com/gpu: 2}
    health: {http: "8080/ready?x=1", interval: 1500ms, timeout: 1s, start: 2m, failures: 5}
    volumes:
      - {name: data, type: volume, size: 1Gi, path: /data}
      - {name: data, path: /again, readOnly: true}
      - {name: tmp, path: /tmp}
volumes:
  - {name: tmp, type: emptyDir}
`

// TestDocument: what the API reads is what the file says.
func TestDocument(t *testing.T) {
	for name, text := range map[string]string{
		"everything": full,
		"little":     "name: shop\ncontainers: [{image: registry.example/shop:1}]\n",
		"tcp":        "name: shop\ncontainers: [{image: a/b, ports: [5000], health: {tcp: 5000}}]\n",
		"command":    "name: shop\ncontainers: [{image: a/b, health: {command: [/ok]}}]\n",
		"one udp":    "name: shop\ncontainers: [{image: a/b, ports: [53/udp], health: {command: [/ok]}}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			m := parse(t, text)
			b, err := Document(m, m.Containers[0].Image.Ref, nil, Place{Namespace: "team", Environment: "development"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := direct.Parse(b, direct.Defaults{})
			if err != nil {
				t.Fatalf("%v\n%s", err, b)
			}
			if diff := cmp.Diff(sorted(m), sorted(got.Pod)); diff != "" {
				t.Error(diff)
			}
			if got.Namespace != "team" || got.Environment != "development" || got.Runtime != direct.Image || len(got.Warnings) > 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
	b, err := Document(parse(t, full), "", nil, Place{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := direct.Parse(b, direct.Defaults{Namespace: "mine"}); err != nil || got.Image != "" || got.Namespace != "mine" || got.Environment != "production" {
		t.Errorf("an upload: %+v, %v", got, err)
	}
}

// sorted has its volumes in one order: the API's is that of the mounts.
func sorted(m *manifest.Manifest) *manifest.Manifest {
	c := *m
	c.Volumes = nil
	for _, name := range []string{"data", "tmp"} {
		for _, v := range m.Volumes {
			if v.Name == name {
				c.Volumes = append(c.Volumes, v)
			}
		}
	}
	return &c
}

func parse(t *testing.T, text string) *manifest.Manifest {
	t.Helper()
	m, err := manifest.ParseFile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDocumentRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"two containers":               {"name: shop\ncontainers: [{name: a, image: a/b}, {name: b, image: a/b}]\n", "one container"},
		"a secret that nothing mounts": {"name: shop\ncontainers: [{image: a/b}]\nvolumes: [{name: s, type: secret, source: token}]\n", "volumes[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Document(parse(t, tt.text), "a/b", nil, Place{})
			if status.CodeOf(err) != status.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	m := parse(t, full)
	m.Containers[0].Mounts = m.Containers[0].Mounts[:2]
	if _, err := Document(m, "a/b", nil, Place{}); err == nil || !strings.Contains(err.Error(), "volumes[") {
		t.Errorf("a volume that nothing mounts: %v", err)
	}
}

// TestDocumentSecrets: what secret volumes hold arrives as it is.
func TestDocumentSecrets(t *testing.T) {
	m := parse(t, "name: shop\ncontainers: [{image: a/b, volumes: [{name: s, path: /s}, {path: /run/t, type: secret, source: t}]}]\nvolumes: [{name: s, type: secret, source: token}]\n")
	want := map[string]map[string][]byte{"s": {"token": {0, 255, '"'}, "empty": {}}, "shop-1": {"t": []byte("text")}}
	b, err := Document(m, "a/b", want, Place{Namespace: "team"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := direct.Parse(b, direct.Defaults{})
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if diff := cmp.Diff(want, got.Secrets); diff != "" {
		t.Error(diff)
	}
}

func FuzzEvents(f *testing.F) {
	for _, s := range []string{"", ": waiting\n\n", "id: 1\nevent: x\ndata: {}\n\n", "data: a\r\ndata: b\r\n\r\n", "data\n\n", "data: cut"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := newEventReader(strings.NewReader(s))
		for n := 0; ; n++ {
			data, err := r.next()
			if err != nil {
				return
			}
			if len(data) > maxEvent || n > len(s) {
				t.Fatalf("event %d has %d bytes", n, len(data))
			}
		}
	})
}
