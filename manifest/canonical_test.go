package manifest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"apocryph/proto/podpb"
	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	testCID    = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
	testDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// pin does what publishing an image does to a manifest.
func pin(m *Manifest) *Manifest {
	for i := range m.Containers {
		m.Containers[i].Image.CID = testCID
		m.Containers[i].Image.EncryptedDigest = testDigest
		m.Containers[i].Image.ImageID = testDigest
		m.Containers[i].Image.KeyID = fmt.Sprintf("key-%d", i)
	}
	return m
}

func sampleFile(t testing.TB, name string) *Manifest {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseFile(data)
	if err != nil {
		t.Fatal(err)
	}
	return pin(m)
}

func canonical(t testing.TB, m *Manifest) []byte {
	t.Helper()
	b, err := Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	for _, name := range []string{"minimal", "full"} {
		t.Run(name, func(t *testing.T) {
			b := canonical(t, sampleFile(t, name))
			got := DigestOf(b).String() + "\n"
			for line := range slices.Chunk([]byte(hex.EncodeToString(b)), 100) {
				got += string(line) + "\n"
			}
			path := "testdata/" + name + ".golden"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the canonical bytes changed, which breaks every digest:\n%s", diff)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	for _, name := range []string{"minimal", "full"} {
		m := sampleFile(t, name)
		b := canonical(t, m)
		got, err := Unmarshal(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.Containers {
			m.Containers[i].Image.Ref = ""
		}
		for i := range m.Volumes {
			m.Volumes[i].Source = ""
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Error(diff)
		}
		if again := canonical(t, got); !bytes.Equal(again, b) {
			t.Error("marshalling again gives other bytes")
		}
	}
}

// TestEncoding: the canonical bytes are in order, mean the same to the protobuf
// library, and the encoder knows every kind of field that a manifest has.
func TestEncoding(t *testing.T) {
	budget := maxFields
	b := canonical(t, sampleFile(t, "full"))
	if err := scan(b, (*podpb.Manifest)(nil).ProtoReflect().Descriptor(), &budget); err != nil {
		t.Fatal(err)
	}
	if used := maxFields - budget; used < 100 {
		t.Errorf("only %d fields were looked at", used)
	}
	var w podpb.Manifest
	if err := proto.Unmarshal(b, &w); err != nil || !proto.Equal(&w, sampleFile(t, "full").toWire()) {
		t.Errorf("the library reads something else: %v", err)
	}
	kinds := map[protoreflect.Kind]bool{}
	fieldKinds((*podpb.Manifest)(nil).ProtoReflect().Descriptor(), kinds)
	known := map[protoreflect.Kind]bool{
		protoreflect.MessageKind: true, protoreflect.StringKind: true, protoreflect.BoolKind: true,
		protoreflect.EnumKind: true, protoreflect.Uint32Kind: true, protoreflect.Uint64Kind: true,
	}
	if diff := cmp.Diff(known, kinds); diff != "" {
		t.Errorf("the encoder does not know all kinds:\n%s", diff)
	}
}

func fieldKinds(m protoreflect.MessageDescriptor, kinds map[protoreflect.Kind]bool) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if kinds[f.Kind()] = true; f.Message() != nil {
			fieldKinds(f.Message(), kinds)
		}
	}
}

func TestMarshalSortsACopy(t *testing.T) {
	m := sampleFile(t, "full")
	b := canonical(t, m)
	slices.Reverse(m.Containers[0].Env)
	slices.Reverse(m.Containers[0].Resources.Extended)
	first := m.Containers[0].Env[0]
	if !bytes.Equal(canonical(t, m), b) {
		t.Error("the order of env changes the bytes")
	}
	if m.Containers[0].Env[0] != first {
		t.Error("the manifest was changed")
	}
}

func TestMarshalFaults(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Manifest)
		want   string
	}{
		{"no cid", func(m *Manifest) { m.Containers[0].Image.CID = "" }, "containers[0].image.cid"},
		{"cid v0", func(m *Manifest) { m.Containers[0].Image.CID = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG" }, "image.cid"},
		{"cid in upper case", func(m *Manifest) { m.Containers[0].Image.CID = strings.ToUpper(testCID) }, "image.cid"},
		{"cid in base58", func(m *Manifest) {
			m.Containers[0].Image.CID = "zdj7WhuEjrB52m1BisYCtmjH1hSKa7yZ3jEZ9JcXaFRD51wVz"
		}, "image.cid"},
		{"cid cut", func(m *Manifest) { m.Containers[0].Image.CID = testCID[:20] }, "image.cid"},
		{"no digest", func(m *Manifest) { m.Containers[0].Image.EncryptedDigest = "" }, "encrypted_digest"},
		{"digest of another kind", func(m *Manifest) { m.Containers[0].Image.ImageID = "sha512:00" }, "image_id"},
		{"digest in upper case", func(m *Manifest) { m.Containers[0].Image.ImageID = "sha256:" + strings.ToUpper(testDigest[7:]) }, "image_id"},
		{"key id with blank", func(m *Manifest) { m.Containers[0].Image.KeyID = "a b" }, "key_id"},
		{"long key id", func(m *Manifest) { m.Containers[0].Image.KeyID = strings.Repeat("a", 129) }, "key_id"},
		{"no name", func(m *Manifest) { m.Name = "" }, "name"},
		{"bad text", func(m *Manifest) { m.Containers[0].Args = []string{"\xff"} }, "args[0]"},
		{"fraction of a millisecond", func(m *Manifest) { m.Containers[0].Health.Timeout += time.Microsecond }, "health.timeout"},
		{"protocol", func(m *Manifest) { m.Containers[0].Ports[0].Protocol = "sctp" }, "ports[0].protocol"},
		{"65 ports", func(m *Manifest) { m.Containers[0].Ports = make([]Port, 65) }, "containers[0].ports"},
		{"513 variables", func(m *Manifest) { m.Containers[0].Env = make([]EnvVar, 513) }, "containers[0].env"},
		{"65 mounts", func(m *Manifest) { m.Containers[0].Mounts = make([]Mount, 65) }, "containers[0].volumes"},
		{"65 volumes", func(m *Manifest) { m.Volumes = make([]Volume, 65) }, "volumes"},
		{"33 resources", func(m *Manifest) { m.Containers[0].Resources.Extended = make([]ExtendedResource, 33) }, "containers[0].resources"},
		{"513 words", func(m *Manifest) { m.Containers[0].Command = make([]string, 513) }, "containers[0].command"},
		{"17 containers", func(m *Manifest) { m.Containers = make([]Container, 17) }, "containers"},
		{"volume kind", func(m *Manifest) { m.Volumes[0].Kind = 9 }, "volumes[0].type"},
		{"long source", func(m *Manifest) { m.Volumes[0].Source = strings.Repeat("a", 2000) }, "volumes[0].source"},
		{"writable secret", func(m *Manifest) { m.Containers[0].Mounts[2].ReadOnly = false }, "mounts[2].readOnly"},
		{"env twice", func(m *Manifest) { m.Containers[0].Env[1].Name = m.Containers[0].Env[0].Name }, "env[1].name"},
		{"resource twice", func(m *Manifest) { m.Containers[0].Resources.Extended[1] = m.Containers[0].Resources.Extended[0] }, "resources.example.com/fpga"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := sampleFile(t, "full")
			tt.change(m)
			b, err := Marshal(m)
			if b != nil || status.ReasonOf(err) != "manifest.invalid" {
				t.Fatalf("got %x, %v", b, err)
			}
			if lines := strings.Join(faultLines(err), "\n"); !strings.Contains(lines, tt.want) {
				t.Errorf("got %s, want %s", lines, tt.want)
			}
		})
	}
	m := sampleFile(t, "full")
	m.Containers[0].Args = slices.Repeat([]string{strings.Repeat("a", MaxArg)}, 17)
	if _, err := Marshal(m); status.ReasonOf(err) != "manifest.size" {
		t.Errorf("a manifest of more than a megabyte: %v", err)
	}
}

// rewire changes the wire form of the full sample.
func rewire(t *testing.T, change func(*podpb.Manifest)) []byte {
	t.Helper()
	var w podpb.Manifest
	if err := proto.Unmarshal(canonical(t, sampleFile(t, "full")), &w); err != nil {
		t.Fatal(err)
	}
	change(&w)
	return appendCanonical(nil, w.ProtoReflect())
}

func TestUnmarshalFaults(t *testing.T) {
	good := canonical(t, sampleFile(t, "full"))
	name := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "shop")
	tests := []struct {
		name   string
		bytes  []byte
		reason string
	}{
		{"nothing", nil, "manifest.invalid"},
		{"too large", make([]byte, MaxBytes+1), "manifest.size"},
		{"text", []byte("name: shop\n"), "manifest.not_canonical"},
		{"tag 0", []byte{0}, "manifest.malformed"},
		{"cut", good[:len(good)-1], "manifest.malformed"},
		{"cut tag", append(slices.Clone(good), 0x80), "manifest.malformed"},
		{"cut in a message", append(slices.Clone(good), 0x32, 1, 0x0a), "manifest.malformed"},
		{"not UTF-8", append(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "\xff"), good[len(name):]...), "manifest.malformed"},
		{"unknown field", append(slices.Clone(good), 0x98, 6, 1), "manifest.not_canonical"},
		{"unknown field inside", append(slices.Clone(good), 0x32, 3, 0x98, 6, 1), "manifest.not_canonical"},
		{"field of another type", append(slices.Clone(good), 0x30, 1), "manifest.not_canonical"},
		{"field twice", append(slices.Clone(name), good...), "manifest.not_canonical"},
		{"fields out of order", append(slices.Clone(good[len(name):]), name...), "manifest.not_canonical"},
		{"long varint", append([]byte{0x0a, 0x84, 0x00}, good[2:]...), "manifest.not_canonical"},
		{"empty access", rewire(t, func(m *podpb.Manifest) { m.Access = &podpb.Access{} }), "manifest.not_canonical"},
		{"many empty containers", bytes.Repeat([]byte{0x12, 0}, MaxBytes/2), "manifest.malformed"},
		{"17 containers", bytes.Repeat([]byte{0x12, 0}, 17), "manifest.invalid"},
		{"unsorted env", rewire(t, func(m *podpb.Manifest) { slices.Reverse(m.Containers[0].Env) }), "manifest.invalid"},
		{"unsorted resources", rewire(t, func(m *podpb.Manifest) { slices.Reverse(m.Containers[0].Resources.Extended) }), "manifest.invalid"},
		{"port beyond 16 bits", rewire(t, func(m *podpb.Manifest) { m.Containers[0].Ports[0].TargetPort = 65536 + 8080 }), "manifest.not_canonical"},
		{"kind beyond 8 bits", rewire(t, func(m *podpb.Manifest) { m.Volumes[0].Kind += 256 }), "manifest.not_canonical"},
		{"endless interval", rewire(t, func(m *podpb.Manifest) { m.Containers[0].Health.IntervalMs = 1 << 63 }), "manifest.invalid"},
		{"empty check", rewire(t, func(m *podpb.Manifest) { m.Containers[0].Health.Check = nil }), "manifest.invalid"},
		{"no replicas", rewire(t, func(m *podpb.Manifest) { m.Replicas = nil }), "manifest.invalid"},
		{"no resources", rewire(t, func(m *podpb.Manifest) { m.Containers[1].Resources = nil }), "manifest.invalid"},
		{"no image", rewire(t, func(m *podpb.Manifest) { m.Containers[1].Image = nil }), "manifest.invalid"},
		{"no runtime class", rewire(t, func(m *podpb.Manifest) { m.RuntimeClass = "" }), "manifest.invalid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Unmarshal(tt.bytes)
			if m != nil || status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != tt.reason {
				t.Errorf("got %v, %v (%s), want %s", m, err, status.ReasonOf(err), tt.reason)
			}
		})
	}
}

// TestLargestManifest: every list full fits into the budget of fields.
func TestLargestManifest(t *testing.T) {
	m := &Manifest{Name: "a", RuntimeClass: "runc", Replicas: Replicas{100, 100}, Access: Access{true, true}}
	for i := range MaxVolumes {
		m.Volumes = append(m.Volumes, Volume{Name: fmt.Sprintf("v%d", i), Kind: EmptyDir, Bytes: 1})
	}
	for i := range MaxContainers {
		c := Container{Name: fmt.Sprintf("c%d", i), Resources: defaults(), WorkingDir: "/"}
		c.Command = slices.Repeat([]string{"x"}, MaxArgs)
		c.Args = c.Command
		c.Health = &Health{Command: c.Command, Interval: time.Second, Timeout: time.Second, Start: time.Second, Failures: 1}
		for j := range MaxEnv {
			c.Env = append(c.Env, EnvVar{fmt.Sprintf("E%d", j), "x"})
		}
		for j := range MaxPorts {
			p := uint16(1 + i*MaxPorts + j)
			c.Ports = append(c.Ports, Port{Port: p, TargetPort: p, Protocol: TCP, HostIP: "10.0.0.1", Name: fmt.Sprintf("p%d", j)})
		}
		for j := range MaxExtended {
			c.Resources.Extended = append(c.Resources.Extended, ExtendedResource{fmt.Sprintf("a/r%d", j), 1})
		}
		for j := range MaxVolumes {
			c.Mounts = append(c.Mounts, Mount{fmt.Sprintf("v%d", j), fmt.Sprintf("/m%d", j), true})
		}
		m.Containers = append(m.Containers, c)
	}
	b := canonical(t, pin(m))
	if _, err := Unmarshal(b); err != nil {
		t.Fatal(err)
	}
}

func TestDigest(t *testing.T) {
	if got := DigestOf(nil).String(); got != testDigest {
		t.Errorf("got %s", got)
	}
	var e *status.Error
	if _, err := Unmarshal([]byte{0x12, 0}); !errors.As(err, &e) || len(e.Faults) < 3 {
		t.Errorf("not all faults at once: %v", err)
	}
}

// TestSourceDigest: it follows the image references, and neither what was
// pinned nor the order of env.
func TestSourceDigest(t *testing.T) {
	m := sampleFile(t, "full")
	pinned := m.SourceDigest()
	slices.Reverse(m.Containers[0].Env)
	for i := range m.Containers {
		m.Containers[i].Image = Image{Ref: m.Containers[i].Image.Ref}
	}
	if m.SourceDigest() != pinned {
		t.Error("pinning changes the digest")
	}
	m.Containers[0].Image.Ref += "2"
	if m.SourceDigest() == pinned {
		t.Error("another reference has the same digest")
	}
}
