package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"apocryph/manifest"
	"apocryph/proto/status"
	"apocryph/provider"
)

func TestConfigCheck(t *testing.T) {
	good := Config{
		DataDir: "/var/lib/apocryph/private/mnt/data/runtime", StateDir: "/var/lib/apocryph/runtime-state", RuntimeDir: "/run/apocryph/x",
		Identity: "id", Volumes: dirVolumes("/x"),
	}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"data_dir relative":          func(c *Config) { c.DataDir = "data" },
		"data_dir with a comma":      func(c *Config) { c.DataDir = "/var/a,b" },
		"data_dir with a colon":      func(c *Config) { c.DataDir = "/var/a:b" },
		"data_dir climbs":            func(c *Config) { c.DataDir = "/var/../x" },
		"data_dir is the root":       func(c *Config) { c.DataDir = "/" },
		"runtime_dir empty":          func(c *Config) { c.RuntimeDir = "" },
		"runtime_dir too long":       func(c *Config) { c.RuntimeDir = "/run/" + strings.Repeat("x", 40) },
		"runtime_dir is data_dir":    func(c *Config) { c.DataDir = c.RuntimeDir },
		"runtime_dir is state_dir":   func(c *Config) { c.StateDir = c.RuntimeDir },
		"state_dir relative":         func(c *Config) { c.StateDir = "state" },
		"volumes missing":            func(c *Config) { c.Volumes = nil },
		"identity empty":             func(c *Config) { c.Identity = "" },
		"resolvers on the loopback":  func(c *Config) { c.Resolvers = []netip.Addr{netip.MustParseAddr("127.0.0.53")} },
		"resolvers with IPv6":        func(c *Config) { c.Resolvers = []netip.Addr{netip.MustParseAddr("fd00::1")} },
		"runc_path relative":         func(c *Config) { c.RuncPath = "runc" },
		"resolvers with no address ": func(c *Config) { c.Resolvers = []netip.Addr{{}} },
	} {
		c := good
		change(&c)
		_, err := New(c)
		field, _, _ := strings.Cut(name, " ")
		var st *status.Error
		if !errors.As(err, &st) || st.Code != status.InvalidArgument || len(st.Faults) == 0 || !strings.Contains(st.Faults[0].String()+st.Faults[len(st.Faults)-1].String(), field) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestNamesFit(t *testing.T) {
	a, b := namesOf("one"), namesOf("two")
	if a == b || a.bridge == b.bridge || a.table == b.table || a.cgroup == b.cgroup {
		t.Errorf("two providers share names: %+v, %+v", a, b)
	}
	if a.veth("x-1-0") == b.veth("x-1-0") || a.veth("x-1-0") == a.veth("x-1-1") {
		t.Error("two instances share a link's name")
	}
	for _, n := range []string{a.bridge, a.veth("x")} {
		if len(n) > 15 {
			t.Errorf("%s is longer than an interface's name", n)
		}
	}
	for _, n := range []string{namespaceOf("x"), containerID("x", "y"), leaseOf("x")} {
		if len(n) > 76 || !safeName.MatchString(n) {
			t.Errorf("containerd does not take %s", n)
		}
	}
	if containerID("a", "bc") == containerID("ab", "c") {
		t.Error("containers of different instances share an id")
	}
}

func TestParseResolvers(t *testing.T) {
	for conf, want := range map[string][]string{
		"":                              nil,
		"nameserver":                    nil,
		"nameserver 1.1.1.1 \nsearch x": {"1.1.1.1"},
		"# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.2": {"10.0.0.2"},
		"nameserver 0.0.0.0\nnameserver x\nnameserver 224.0.0.1":                           nil,
		"nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4":   {"1.0.0.1", "1.0.0.2", "1.0.0.3"},
	} {
		var got []string
		for _, a := range parseResolvers(conf) {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", conf, diff)
		}
	}
}

func TestAddresses(t *testing.T) {
	n := &network{subnet: netip.MustParsePrefix("10.64.0.0/20"), used: map[netip.Addr]provider.InstanceID{}}
	for ip, want := range map[string]bool{
		"10.64.0.0": false, "10.64.0.1": false, "10.64.0.2": true, "10.64.15.254": true, "10.64.15.255": false, "10.64.16.0": false, "1.1.1.1": false,
	} {
		if got := n.usable(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: usable is %v", ip, got)
		}
	}
	if !n.claim("a", netip.MustParseAddr("10.64.0.9")) || n.claim("b", netip.MustParseAddr("10.64.0.9")) || n.claim("b", netip.MustParseAddr("10.65.0.1")) {
		t.Error("claims are wrong")
	}
	seen := map[netip.Addr]bool{netip.MustParseAddr("10.64.0.9"): true}
	for i := range 4092 {
		a, err := n.allocate(provider.InstanceID(rune(i + 1000)))
		if err != nil || seen[a] || !n.usable(a) {
			t.Fatalf("address %d is %s, %v", i, a, err)
		}
		seen[a] = true
	}
	if a, err := n.allocate("last"); status.CodeOf(err) != status.ResourceExhausted {
		t.Errorf("one too many: %s, %v", a, err)
	}
	n.release("a")
	if a, err := n.allocate("last"); err != nil || a.String() != "10.64.0.9" {
		t.Errorf("after a release: %s, %v", a, err)
	}
}

func TestUIDRanges(t *testing.T) {
	l := layout{data: t.TempDir()}
	if err := os.Mkdir(l.ranges(), 0o700); err != nil {
		t.Fatal(err)
	}
	seen := map[uint32]bool{}
	for i := range 200 {
		pod := provider.PodID(shortHash(10, string(rune(i))))
		a, err := uidRange(l, "id", pod)
		if err != nil || seen[a] || a < firstUID || (a-firstUID)%rangeSize != 0 || a > 2147352576-rangeSize {
			t.Fatalf("range %d starts at %d, %v", i, a, err)
		}
		seen[a] = true
		if b, err := uidRange(l, "other", pod); b != a || err != nil {
			t.Errorf("the same pod has %d and %d, %v", a, b, err)
		}
	}
	owners, err := rangeOwners(l)
	if err != nil || len(owners) != 200 {
		t.Errorf("%d owners, %v", len(owners), err)
	}
	for pod := range owners {
		if err := errors.Join(freeUIDRange(l, pod), freeUIDRange(l, pod)); err != nil {
			t.Error(err)
		}
	}
	if owners, err := rangeOwners(l); err != nil || len(owners) != 0 {
		t.Errorf("%v are left, %v", owners, err)
	}
}

func TestRecords(t *testing.T) {
	l := layout{data: t.TempDir()}
	if err := os.Mkdir(l.instances(), 0o711); err != nil {
		t.Fatal(err)
	}
	want := &record{ID: "p-1-0", Pod: "p", Publisher: "x", Phase: made, IP: netip.MustParseAddr("10.64.0.2"), UIDs: firstUID, Containers: []containerRecord{{Name: "a", ID: "c-1"}}}
	if err := saveRecord(l, want); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(l.instance("bare-1-0"), 0o711); err != nil {
		t.Fatal(err)
	}
	got, bare, err := loadRecords(l)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[provider.InstanceID]*record{"p-1-0": want}, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]provider.InstanceID{"bare-1-0"}, bare); diff != "" {
		t.Error(diff)
	}
	if st, err := os.Stat(l.record("p-1-0")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the record's mode: %v, %v", st.Mode(), err)
	}
	for _, damage := range []string{"", "{", `{"ID":"other-1-0"}`} {
		if err := os.WriteFile(l.record("p-1-0"), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := loadRecords(l); err == nil {
			t.Errorf("%q was taken", damage)
		}
	}
}

func TestEnvironmentOfImages(t *testing.T) {
	c := provider.ContainerSpec{}
	c.Env = []manifest.EnvVar{{Name: "PATH", Value: "/mine"}, {Name: "A", Value: "b=c"}}
	img := &image{}
	img.config.Env = []string{"PATH=/image", "A=1", "B", "AA=2"}
	if diff := cmp.Diff([]string{"HOSTNAME=h", "B", "AA=2", "PATH=/mine", "A=b=c"}, envOf(c, img, "h")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{defaultPath, "HOSTNAME=h"}, envOf(provider.ContainerSpec{}, &image{}, "h")); diff != "" {
		t.Error(diff)
	}
}

func TestLayerErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want status.Code
	}{
		"full disk":      {&os.PathError{Op: "write", Err: syscall.ENOSPC}, status.ResourceExhausted},
		"source is gone": {status.New(status.Unavailable, "fetch.gone", "gone"), status.Unavailable},
		"given up":       {context.Canceled, status.Canceled},
		"too late":       {context.DeadlineExceeded, status.DeadlineExceeded},
		"damaged":        {errors.New("invalid tar header"), status.Untrusted},
	} {
		if err := layerError(3, c.err); status.CodeOf(err) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// FuzzOpenImage gives the image's configuration and the annotations of a layer,
// all of which a publisher writes.
func FuzzOpenImage(f *testing.F) {
	config := `{"architecture":"amd64","os":"linux","config":{"User":"0"},"rootfs":{"type":"layers","diff_ids":["sha256:` + strings.Repeat("0", 64) + `"]}}`
	f.Add([]byte(config), "application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "eyJ9", "e30=", []byte("key"))
	f.Add([]byte(config), "application/vnd.oci.image.layer.v1.tar", "", "", []byte(nil))
	f.Add([]byte("{}"), "", "!", "!", []byte{0x30})
	f.Fuzz(func(t *testing.T, config []byte, media, jwe, opts string, key []byte) {
		c := provider.ContainerSpec{Key: key, Image: &provider.Image{Config: config, Layers: []provider.Layer{
			{MediaType: media, Annotations: map[string]string{annotationJWE: jwe, annotationPubOpts: opts}},
		}}}
		img, err := openImage(c)
		if err != nil {
			if code := status.CodeOf(err); code != status.InvalidArgument && code != status.Untrusted {
				t.Errorf("got %v", err)
			}
			return
		}
		if len(img.chains) != 1 || !json.Valid(config) {
			t.Errorf("took %+v", img)
		}
	})
}
