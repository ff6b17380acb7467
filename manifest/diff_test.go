package manifest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// whole is a manifest with most fields set.
func whole(change ...func(*Manifest)) *Manifest {
	m := &Manifest{
		Name: "shop",
		Containers: []Container{{
			Name: "web", Image: Image{ImageID: "sha256:aa", CID: "c1", EncryptedDigest: "sha256:e1", KeyID: "k1"},
			Command: []string{"/web"}, Env: []EnvVar{{"MODE", "CANARY-old"}, {"TOKEN", "CANARY-1"}},
			Ports:     []Port{{TargetPort: 8080, Protocol: HTTP, Host: "shop.example"}, {Port: 5432, TargetPort: 5432, Protocol: TCP, Name: "pg"}},
			Resources: Resources{CPUMillis: 250, MemoryBytes: 64 << 20, PIDs: 64, Extended: []ExtendedResource{{"nvidia.com/gpu", 1}}},
			Health:    &Health{HTTP: &HTTPCheck{8080, "/health"}, Interval: 10 * time.Second, Timeout: 2 * time.Second, Start: time.Minute, Failures: 3},
			Mounts:    []Mount{{Volume: "data", Path: "/data"}, {Volume: "tls", Path: "/tls", ReadOnly: true}},
		}},
		Replicas: Replicas{1, 1}, RuntimeClass: "runc",
		Volumes: []Volume{{Name: "data", Kind: Persistent, Bytes: 1 << 30}, {Name: "tls", Kind: Secret}},
	}
	for _, c := range change {
		c(m)
	}
	return m
}

func web(change func(*Container)) func(*Manifest) {
	return func(m *Manifest) { change(&m.Containers[0]) }
}

func TestDiff(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Manifest)
		want   []Change
	}{
		"nothing": {func(*Manifest) {}, nil},
		// Another key, another ciphertext, the same program.
		"sealed anew": {web(func(c *Container) {
			c.Image = Image{ImageID: "sha256:aa", CID: "c2", EncryptedDigest: "sha256:e2", KeyID: "k2"}
		}), nil},
		"image":       {web(func(c *Container) { c.Image.ImageID = "sha256:bb" }), []Change{{"containers[web].image", Changed, "sha256:aa", "sha256:bb"}}},
		"a word more": {web(func(c *Container) { c.Command = []string{"/web", "a b"} }), []Change{{"containers[web].command", Changed, `["/web"]`, `["/web", "a b"]`}}},
		"quotes":      {web(func(c *Container) { c.Command = []string{`/web", "a`} }), []Change{{"containers[web].command", Changed, `["/web"]`, `["/web\", \"a"]`}}},
		"env value":   {web(func(c *Container) { c.Env[1].Value = "CANARY-2" }), []Change{{Field: "containers[web].env.TOKEN", Kind: Changed}}},
		"env added":   {web(func(c *Container) { c.Env = append(c.Env, EnvVar{"ZED", "CANARY"}) }), []Change{{Field: "containers[web].env.ZED", Kind: Added}}},
		"env emptied": {web(func(c *Container) { c.Env[0].Value = "" }), []Change{{Field: "containers[web].env.MODE", Kind: Changed}}},
		"env removed": {web(func(c *Container) { c.Env = c.Env[1:] }), []Change{{Field: "containers[web].env.MODE", Kind: Removed}}},
		"ports": {web(func(c *Container) {
			c.Ports[0].Host, c.Ports[1].Port = "", 5433
			c.Ports = append(c.Ports, Port{TargetPort: 53, Protocol: UDP, HostIP: "192.0.2.1"})
		}), []Change{
			{"containers[web].ports[8080/http]", Changed, "8080/http host shop.example", "8080/http"},
			{"containers[web].ports[pg]", Changed, "5432:5432/tcp", "5433:5432/tcp"},
			{"containers[web].ports[53/udp]", Added, "", "53/udp hostIP 192.0.2.1"},
		}},
		"one port twice": {web(func(c *Container) {
			c.Ports = append(c.Ports, Port{TargetPort: 8080, Protocol: HTTP, Host: "b.example"})
		}), []Change{
			{"containers[web].ports[8080/http]#2", Added, "", "8080/http host b.example"},
		}},
		"resources": {web(func(c *Container) {
			c.Resources = Resources{CPUMillis: 1000, MemoryBytes: 100, EphemeralBytes: 3 << 10}
		}), []Change{
			{"containers[web].resources.cpu", Changed, "250m", "1000m"},
			{"containers[web].resources.memory", Changed, "64Mi", "100"},
			{"containers[web].resources.ephemeral-storage", Added, "", "3Ki"},
			{"containers[web].resources.pids", Removed, "64", ""},
			{"containers[web].resources.nvidia.com/gpu", Removed, "1", ""},
		}},
		"health": {web(func(c *Container) { c.Health.HTTP, c.Health.TCP = nil, &TCPCheck{8080} }), []Change{
			{"containers[web].health.tcp", Added, "", "8080"},
			{"containers[web].health.http", Removed, "8080/health", ""},
		}},
		"mounts": {web(func(c *Container) { c.Mounts[0].ReadOnly, c.Mounts[1].Path = true, "/etc/tls" }), []Change{
			{"containers[web].volumes[/data]", Changed, "data", "data read-only"},
			{"containers[web].volumes[/etc/tls]", Added, "", "tls read-only"},
			{"containers[web].volumes[/tls]", Removed, "tls read-only", ""},
		}},
		"the pod": {func(m *Manifest) {
			m.Replicas, m.Access, m.RuntimeClass = Replicas{2, 3}, Access{Exec: true}, "gvisor"
			m.Volumes[0].Bytes, m.Volumes[1].Kind = 2<<40, EmptyDir
		}, []Change{
			{"replicas.min", Changed, "1", "2"},
			{"replicas.max", Changed, "1", "3"},
			{"access.exec", Changed, "false", "true"},
			{"runtimeClass", Changed, "runc", "gvisor"},
			{"volumes[data].size", Changed, "1Gi", "2Ti"},
			{"volumes[tls].type", Changed, "secret", "emptyDir"},
		}},
		"order of containers": {func(m *Manifest) {
			m.Containers = append([]Container{{Name: "side", Image: Image{Ref: "oci:side"}}}, m.Containers...)
		}, []Change{
			{"containers[side].image", Added, "", "oci:side"},
			{"containers[side].resources.cpu", Added, "", "0m"},
		}},
		"long": {web(func(c *Container) { c.WorkingDir = "/" + strings.Repeat("ö", 100) }), []Change{
			{"containers[web].workingDir", Added, "", "/" + strings.Repeat("ö", 62) + "…"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				got := Diff(whole(), whole(c.change))
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Fatal(diff)
				}
				if strings.Contains(fmt.Sprint(got), "CANARY") {
					t.Fatalf("a value is shown: %v", got)
				}
			}
		})
	}
}

// TestDiffWithNothing: of a pod that is not there everything is new, and the
// other way round everything goes.
func TestDiffWithNothing(t *testing.T) {
	added, removed := Diff(nil, whole()), Diff(whole(), nil)
	if len(added) != len(removed) || len(added) < 25 {
		t.Fatalf("%d added, %d removed", len(added), len(removed))
	}
	for i := range added {
		a, r := added[i], removed[i]
		if a.Kind != Added || r.Kind != Removed || a.Field != r.Field || a.New != r.Old || a.Old+r.New != "" {
			t.Errorf("%+v and %+v", a, r)
		}
	}
	if text := fmt.Sprint(added, removed); strings.Contains(text, "CANARY") {
		t.Errorf("a value is shown: %s", text)
	}
	if got := Diff(nil, nil); got != nil {
		t.Errorf("got %v", got)
	}
}

// TestDiffSeesEverything changes each value of a manifest: none is forgotten but
// those that do not say what runs.
func TestDiffSeesEverything(t *testing.T) {
	silent := map[string]bool{"Ref": true, "CID": true, "EncryptedDigest": true, "KeyID": true, "Source": true}
	var visit func(v reflect.Value, field string, changed func(string))
	visit = func(v reflect.Value, field string, changed func(string)) {
		before := reflect.New(v.Type()).Elem()
		before.Set(v)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				visit(v.Field(i), v.Type().Field(i).Name, changed)
			}
			return
		case reflect.Pointer:
			if !v.IsNil() {
				visit(v.Elem(), field, changed)
			}
			return
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i), field, changed)
			}
			return
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int64:
			v.SetInt(v.Int() + int64(time.Second))
		default:
			v.SetUint(v.Uint() + 1)
		}
		changed(field)
		v.Set(before)
	}
	old, changed := whole(), whole()
	seen := 0
	visit(reflect.ValueOf(changed).Elem(), "", func(field string) {
		seen++
		if got := Diff(old, changed); (len(got) == 0) != silent[field] {
			t.Errorf("a change of %s gives %v", field, got)
		}
	})
	if seen < 40 {
		t.Errorf("only %d values were changed", seen)
	}
}

func TestDiffSecrets(t *testing.T) {
	type secrets = map[string]map[string][]byte
	old := secrets{"tls": {"key.pem": []byte("CANARY"), "cert.pem": []byte("c")}, "token": {"token": []byte("t")}}
	got := DiffSecrets(old, secrets{"tls": {"key.pem": []byte("CANARY-2"), "cert.pem": []byte("c"), "ca.pem": nil}})
	want := []Change{
		{Field: "volumes[tls].files[ca.pem]", Kind: Added},
		{Field: "volumes[tls].files[key.pem]", Kind: Changed},
		{Field: "volumes[token].files[token]", Kind: Removed},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := DiffSecrets(old, old); got != nil {
		t.Errorf("got %v", got)
	}
}
