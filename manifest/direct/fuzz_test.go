package direct_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"apocryph/manifest"
	"apocryph/manifest/direct"
	"apocryph/proto/status"
)

// FuzzParse: what is accepted is valid, names no file of the provider, and takes
// a name; what is refused has faults that can be printed, in terms of the JSON.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{"name":"a","runtime":"static","ports":[80,"1:2/udp",{"port":3}],"env":{"A":1.10},"health_path":"/"}`,
		`{"name":"a","runtime":"binary","listen":{"port":1,"protocol":"udp"},"args":"a 'b'","labels":{"a":"b"}}`,
		`{"name":"a","runtime":"image","image":"x:1","volumes":[{"type":"secret","path":"/x","source":"/etc"},{"name":"d","type":"volume","path":"/d"}]}`,
		`{"artifact_id":"` + uuid + `","networking":{"port":null,"health_path":"/x"},"replicas":{"min":1}}`,
		`{"process_type":"docker","image":"oci:/","volumes":[{"host_path":"/"}],"idle_timeout_secs":1}`,
		`{"name":"a","runtime":"image","env":{"\u0085\ufeff\u2028":"\ud83d\ude00\u007f"},"resources":{"a/b":1,"limits":{}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := direct.Parse(b, direct.Defaults{Namespace: "ns"})
		checkResult(t, m, err)
		if m != nil && m.Runtime == direct.Static && !hasHTTP(m.Pod) {
			t.Fatal("static files without an http port")
		}
		m, err = direct.ParseDeployment(b)
		if checkResult(t, m, err); m != nil && len(m.Environment) < 30 {
			if err := m.SetName("ns", "a"); err != nil || m.Pod.Validate() != nil {
				t.Fatalf("%v, %v", err, m.Pod.Validate())
			}
		}
	})
}

func hasHTTP(m *manifest.Manifest) bool {
	for _, p := range m.Containers[0].Ports {
		if p.Protocol == manifest.HTTP {
			return true
		}
	}
	return false
}

func checkResult(t *testing.T, m *direct.Manifest, err error) {
	t.Helper()
	if (m == nil) == (err == nil) {
		t.Fatalf("got %v, %v", m, err)
	}
	if m == nil {
		var e *status.Error
		if !errors.As(err, &e) || e.Code != status.InvalidArgument || len(e.Faults) > 64 || len(e.Faults) == 0 && e.Reason != "json.too_large" {
			t.Fatal(err)
		}
		for _, fault := range e.Faults {
			if text := fault.String(); strings.IndexFunc(text, unicode.IsControl) >= 0 || strings.Contains(fault.Field, "containers[") || fault.Line == 0 {
				t.Fatalf("%q", text)
			}
		}
		return
	}
	c := m.Pod.Containers
	if faults := m.Pod.Validate(); len(faults) > 0 || len(c) != 1 || c[0].Name != m.Pod.Name || c[0].Image.Ref != m.Image {
		t.Fatalf("%+v, %v", m.Pod, faults)
	}
	for _, v := range m.Pod.Volumes {
		if v.Kind == manifest.Secret || v.Source != "" {
			t.Fatalf("volume %+v", v)
		}
	}
	for _, form := range []string{"oci:", "oci-archive:", "docker-archive:", "/", "."} {
		if strings.HasPrefix(m.Image, form) {
			t.Fatalf("image %q", m.Image)
		}
	}
	if strings.HasPrefix(m.Entry, "/") || strings.Contains("/"+m.Entry+"/", "/../") {
		t.Fatalf("entry %q", m.Entry)
	}
}
