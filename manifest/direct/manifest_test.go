package direct_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest"
	"apocryph/manifest/direct"
	"apocryph/proto/status"
)

func TestSetName(t *testing.T) {
	m, err := deployment(`{"artifact_id":"` + uuid + `"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ namespace, name, want string }{
		{"team-a", "Shop", `line 1: /name: got "Shop", want a DNS label in lower case of at most 40 characters`},
		{"", "shop", `line 1: /namespace: got "", want DNS labels in lower case with dots between them, such as shop or shop.main, at most 63 characters in all`},
		{"team-a", strings.Repeat("a", 28), `line 1: /environment: got "development", want at most 40 characters together with the app's name and --`},
	} {
		err := m.SetName(tt.namespace, tt.name)
		if got := faults(err); len(got) != 1 || got[0] != tt.want || m.Name != "" || m.Pod.Name != "app" {
			t.Errorf("%q, %q: %v, %q", tt.namespace, tt.name, got, m.Name)
		}
	}
	if err := m.SetName("team-a", "shop"); err != nil {
		t.Fatal(err)
	}
	if m.Name != "shop" || m.Namespace != "team-a" || m.Pod.Name != "shop" || m.Pod.Containers[0].Name != "shop" || m.Pod.Validate() != nil {
		t.Errorf("%+v, %+v", m, m.Pod)
	}
}

// TestAdditions: what is added here is refused in terms of what it is added to.
func TestAdditions(t *testing.T) {
	ports := strings.TrimSuffix(strings.Repeat(`"1/tcp",`, 64), ",")
	for i := range 64 {
		ports = strings.Replace(ports, `"1/tcp"`, `"`+string(rune('1'+i/10))+string(rune('0'+i%10))+`00/tcp"`, 1)
	}
	vars := make([]string, 512)
	for i := range vars {
		vars[i] = `"A` + strings.Repeat("x", i/26) + string(rune('a'+i%26)) + `":1`
	}
	for text, want := range map[string]string{
		base("static", `"ports":[`+ports+`]`):                           "line 2: /ports: got 65 ports, want at most 64; one is added to what was sent",
		base("binary", `"port":80,"env":{`+strings.Join(vars, ",")+`}`): "line 2: /env: got 513 variables, want at most 512; one is added to what was sent",
	} {
		if _, err := parse(text); len(faults(err)) != 1 || faults(err)[0] != want {
			t.Errorf("got %v, want %s", faults(err), want)
		}
	}
	if m, err := parse(base("image", `"ports":[`+ports+`]`)); err != nil || len(m.Pod.Containers[0].Ports) != 64 {
		t.Errorf("64 ports: %v, %v", err, faults(err))
	}
}

// TestSameAsFile: what is shared with a manifest file means the same.
func TestSameAsFile(t *testing.T) {
	m, err := parse(base("image", `"image":"nginx","port":80,"env":{"V":1.10,"E":1e3},"args":["-n",3],"resources":{"cpu":0.25}`))
	if err != nil {
		t.Fatal(err)
	}
	want, err := manifestFile("name: app\ncontainers: [{image: nginx, port: 80, env: {V: 1.10, E: 1e3}, args: [-n, 3], resources: {cpu: 0.25}}]")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, m.Pod); d != "" {
		t.Error(d)
	}
}

func TestLists(t *testing.T) {
	if d := cmp.Diff([]string{"static", "binary", "image", "python", "node", "go", "dockerfile"}, direct.Runtimes()); d != "" {
		t.Error(d)
	}
	for _, kind := range direct.ProcessTypes() {
		if _, err := deployment(`{"artifact_id":"` + uuid + `","process_type":"` + kind + `"}`); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := direct.Parse(make([]byte, direct.MaxBytes+1), direct.Defaults{}); status.ReasonOf(err) != "json.too_large" {
		t.Errorf("large: %v", err)
	}
}

func manifestFile(text string) (*manifest.Manifest, error) { return manifest.ParseFile([]byte(text)) }
