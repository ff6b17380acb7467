package direct_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/manifest/direct"
)

const withVolumes = `{"name":"a","runtime":"image","image":"x:1","volumes":[%s]}`

// TestSecrets: what secret volumes hold comes by their names, also where the
// manifest gives them none, and nothing of it is in the pod.
func TestSecrets(t *testing.T) {
	m, err := parse(fmt.Sprintf(withVolumes, `{"path":"/d","type":"emptyDir"},
		{"name":"tls","path":"/run/tls","type":"secret","files":{"key.pem":"CANARY\n","raw":{"base64":"AAEC"}}},
		{"path":"/run/s","type":"secret","files":{"f":""}}`))
	if err != nil {
		t.Fatal(err, faults(err))
	}
	want := map[string]map[string][]byte{"tls": {"key.pem": []byte("CANARY\n"), "raw": {0, 1, 2}}, "a-2": {"f": {}}}
	if d := cmp.Diff(want, m.Secrets); d != "" {
		t.Error(d)
	}
	if len(m.Pod.Volumes) != 3 || m.Pod.Volumes[1].Kind != manifest.Secret || m.Pod.Volumes[0].Kind != manifest.EmptyDir {
		t.Errorf("got %+v", m.Pod.Volumes)
	}
	raw, err := json.Marshal(m)
	if err != nil || strings.Contains(string(raw), "CANARY") || strings.Contains(string(raw), "Q0FOQVJZ") {
		t.Errorf("%s, %v", raw, err)
	}
	m, err = deployment(`{"artifact_id":"7f1d4c1e-0000-4000-8000-000000000000","volumes":[{"path":"/s","type":"secret","files":{"f":"x"}}]}`)
	if err != nil {
		t.Fatal(err, faults(err))
	}
	if err := m.SetName("team-a", "web"); err != nil {
		t.Fatal(err)
	}
	if got := m.Secrets[m.Pod.Containers[0].Mounts[0].Volume]; string(got["f"]) != "x" {
		t.Errorf("got %v", m.Secrets)
	}
}

// TestSecretFaults: each fault names its place, and none shows what was sent.
func TestSecretFaults(t *testing.T) {
	many := strings.Repeat(`"f%d":"",`, manifest.MaxSecretFiles)
	for volume, want := range map[string]string{
		`{"path":"/s","type":"secret"}`:                                                 "/volumes/0/files: got nothing",
		`{"path":"/s","type":"secret","files":null}`:                                    "/volumes/0/files: got nothing",
		`{"path":"/s","type":"secret","files":"CANARY"}`:                                "/volumes/0/files: got text",
		`{"path":"/s","type":"secret","files":["CANARY"]}`:                              "/volumes/0/files: got a list",
		`{"path":"/s","type":"secret","files":{}}`:                                      "/volumes/0/files: got 0 files",
		`{"path":"/s","type":"secret","files":{"f":5}}`:                                 "/volumes/0/files/f: got a number",
		`{"path":"/s","type":"secret","files":{"f":null}}`:                              "/volumes/0/files/f: got null",
		`{"path":"/s","type":"secret","files":{"f":{"base64":"CANARY!"}}}`:              "/volumes/0/files/f/base64: got text that is no base64",
		`{"path":"/s","type":"secret","files":{"f":{"base64":1}}}`:                      "/volumes/0/files/f: got an object",
		`{"path":"/s","type":"secret","files":{"f":{"base64":"","hex":"CANARY"}}}`:      "/volumes/0/files/f: got an object",
		`{"path":"/s","type":"secret","files":{"../f":"CANARY"}}`:                       "/volumes/0/files: got a file",
		`{"path":"/s","type":"secret","files":{".f":"CANARY"}}`:                         "/volumes/0/files: got a file",
		`{"path":"/s","type":"secret","source":"/etc/shadow","files":{"f":"CANARY"}}`:   "/volumes/0/source: got a source",
		`{"path":"/s","type":"emptyDir","files":{"f":"CANARY"}}`:                        "/volumes/0/files: got files",
		`{"path":"/s","files":{"f":"CANARY"}}`:                                          "/volumes/0/files: got files",
		`{"path":"/s","type":"secret","size":"1Gi","files":{"f":"CANARY"}}`:             "/volumes/0",
		`{"path":"/s","type":"secret","host_path":"/etc","files":{"f":"CANARY"}}`:       "/volumes/0/host_path",
		`{"path":"/proc/s","type":"secret","files":{"f":"CANARY"}}`:                     "/volumes/0/path",
		`{"path":"/s","type":"secret","files":{"f":"CANARY"},"files":{"f":"CANARY"}}`:   "/volumes/0/files",
		`{"path":"/s","type":"secret","files":{` + numbered(many) + `"more":"CANARY"}}`: "257 files",
	} {
		_, err := parse(fmt.Sprintf(withVolumes, volume))
		if err == nil {
			t.Errorf("%.200s was read", volume)
			continue
		}
		all := err.Error() + strings.Join(faults(err), "\n")
		if !strings.Contains(all, want) || strings.Contains(all, "CANARY") {
			t.Errorf("%.200s: %s", volume, all)
		}
	}
}

func numbered(format string) string {
	n := make([]any, manifest.MaxSecretFiles)
	for i := range n {
		n[i] = i
	}
	return fmt.Sprintf(format, n...)
}

// TestOneContainer: a pod file says what to do with it.
func TestOneContainer(t *testing.T) {
	_, err := direct.Parse([]byte(`{"name":"a","runtime":"image","image":"x:1","containers":[{"image":"y:1"}]}`), direct.Defaults{Namespace: "a"})
	if got := strings.Join(faults(err), "\n"); !strings.Contains(got, "/containers: got containers") || !strings.Contains(got, "publisher deploy") {
		t.Errorf("got %v", got)
	}
}
