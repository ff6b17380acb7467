package direct_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/manifest/direct"
	"apocryph/proto/status"
)

var update = flag.Bool("update", false, "rewrite testdata")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

func parse(text string) (*direct.Manifest, error) {
	return direct.Parse([]byte(text), direct.Defaults{Namespace: "team-a"})
}

func deployment(text string) (*direct.Manifest, error) { return direct.ParseDeployment([]byte(text)) }

func show(t *testing.T, texts []string, read func(string) (*direct.Manifest, error)) string {
	t.Helper()
	var out strings.Builder
	for _, text := range texts {
		m, err := read(text)
		if err != nil {
			t.Errorf("%s: %v, %v", text, err, faults(err))
			continue
		}
		if bad := m.Pod.Validate(); len(bad) > 0 && m.Name != "" {
			t.Errorf("%s: %v", text, bad)
		}
		b, err := json.MarshalIndent(m, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s\n%s\n\n", text, b)
	}
	return out.String()
}

func faults(err error) []string {
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

func refused(t *testing.T, texts []string, reason string, read func(string) (*direct.Manifest, error)) string {
	t.Helper()
	var out strings.Builder
	for _, text := range texts {
		m, err := read(text)
		if m != nil || status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != reason && !strings.HasPrefix(status.ReasonOf(err), "json.") {
			t.Errorf("%s: %v, %v", text, m, err)
		}
		fmt.Fprintf(&out, "%.200s\n", text)
		for _, f := range faults(err) {
			fmt.Fprintf(&out, "\t%s\n", f)
			if strings.Contains(f, "containers[") || strings.HasPrefix(f, "/") || strings.Contains(f, "s3cret") {
				t.Errorf("%s: %s", text, f)
			}
		}
	}
	return out.String()
}

const uuid = "0b2f4f0e-5a2c-4d43-9a54-3f6f0a3f2c11"

func TestValid(t *testing.T) {
	golden(t, "valid.golden", show(t, []string{
		`{"name":"site","runtime":"static"}`,
		`{"name":"site","runtime":"static","namespace":"team-b","entry":"public","ports":[3000],"environment":"development"}`,
		`{"name":"site","runtime":"static","ports":["80:8081"]}`,
		`{"name":"site","runtime":"static","ports":["53:53/udp"],"env":null,"health":null,"entry":null}`,
		`{"name":"site","runtime":"static","ports":[],"health_path":"/index.html"}`,
		`{"name":"tool","runtime":"binary"}`,
		`{"name":"tool","runtime":"binary","entry":"bin/tool","port":9000,"args":["-v"],"env":{"Z":"1","A":true,"N":1.10}}`,
		`{"name":"tool","runtime":"binary","ports":["5432:5432","8080/http"],"env":[{"name":"B","value":"x"}]}`,
		`{"name":"tool","runtime":"binary","port":9000,"env":{"PORT":"1"}}`,
		`{"name":"tool","runtime":"binary","listen":{"port":7000,"protocol":"tcp"},"mode":"dev"}`,
		`{"name":"tool","runtime":"binary","listen":{"port":7000}}`,
		`{"name":"test","runtime":"image","image":"registry.example.org/app:1","ports":[8080]}`,
		`{"name":"test","runtime":"image","image":"registry.example.org/app:1","ports":["9090",8080,"53/udp"]}`,
		`{"name":"test","runtime":"image","image":"ipfs:bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi","port":80,"ports":[8080]}`,
		`{"name":"test","runtime":"image","command":"/bin/app --x 'a b'","args":["y"],"workingDir":"/srv","env":{"E":"é😀\u007e\n"},
 "port":80,"host":"App.Example.org","resources":{"cpu":"250m","memory":"64Mi","nvidia.com/gpu":1},
 "health":{"http":"/h","interval":"5s"},"replicas":{"min":2,"max":2},"access":{"exec":true},"runtimeClass":"gvisor",
 "volumes":[{"name":"data","type":"persistent","path":"/data","size":"1Gi"},{"type":"emptyDir","path":"/tmp"}],
 "commit_sha":"ABCDEF0123456789ABCDEF0123456789ABCDEF01","expected_revision":7,"labels":{"app.example.org/tier":"web"}}`,
		`{"name":"test","runtime":"image","ports":[{"targetPort":8443,"host":"a.example.org"},9000]}`,
		`{"name":"app"}`,
		`{"name":"app","runtime":"python","ports":[]}`,
		`{"name":"app","runtime":"node","ports":[3000],"entry":"server.js"}`,
		`{"name":"app","runtime":"go","port":9000,"args":["-v"]}`,
		`{"name":"app","runtime":"dockerfile","listen":{"port":7000,"protocol":"tcp"}}`,
		`{"name":"app","runtime":"static","source":"https://github.com/o/r","ref":"main","commit_sha":"abcdef0"}`,
	}, parse))
}

func TestValidDeployment(t *testing.T) {
	golden(t, "valid-deployment.golden", show(t, []string{
		`{}`, `{"artifact_id":null,"environment":"production"}`, `{"process_type":"docker","networking":{"port":5000}}`,
		`{"artifact_id":"` + uuid + `","process_type":"tish","replicas":1}`,
		`{"artifact_id":"` + strings.ToUpper(uuid) + `"}`,
		`{"artifact_id":"` + uuid + `","networking":{"port":null,"protocol":"http","health_path":"/healthz"}}`,
		`{"artifact_id":"` + uuid + `","networking":{},"entry":"bin/app","args":"-a -b","env":{"PORT":3000}}`,
		`{"artifact_id":"` + uuid + `","networking":{"port":5000,"protocol":"grpc"},"environment":"production","resources":{"cpu":"100m","memory":"128Mi"}}`,
		`{"artifact_id":"` + uuid + `","networking":{"port":5000,"protocol":"TCP","health_path":"/x"}}`,
		`{"image":"nginx:1.29","process_type":"docker","networking":{"port":80},"replicas":2,"environment":"staging",
 "volumes":[{"name":"data","type":"persistent","path":"/data"}],"cold_start_enabled":true,"idle_timeout_secs":300,"max_runtime_secs":null,"labels":{"a":"b"}}`,
		`{"artifact_id":"` + uuid + `","process_type":"docker","networking":{"port":null},"command":["/x"],"max_runtime_secs":10}`,
	}, deployment))
}

// base has what is required, and then rest.
func base(runtime, rest string) string {
	return `{"name":"app","runtime":"` + runtime + `",` + "\n" + rest + `}`
}

func TestInvalid(t *testing.T) {
	texts := []string{
		`{}`, `[]`, `null`, `"x"`, `{"name":`, `{"name":"app","runtime":"static",}`, "\ufeff{}",
		`{"runtime":"static"}`, `{"name":"app","image":"nginx"}`, `{"name":"app","runtime":"image","source":"gh:o/r"}`, `{"name":null,"runtime":null}`, `{"name":"","runtime":""}`,
		`{"name":1,"runtime":2}`, `{"name":"App","runtime":"static"}`, `{"name":"-a","runtime":"static"}`,
		`{"name":"` + strings.Repeat("a", 41) + `","runtime":"static"}`, `{"name":"../x","runtime":"static"}`,
		`{"Name":"app","runtime":"static"}`, `{"name":"app","name":"b","runtime":"static"}`,
		`{"name":"app","runtime":"deno"}`, `{"name":"app","runtime":""}`, `{"name":"app","runtime":["static"]}`,
		base("static", `"namespace":"A b"`), base("static", `"namespace":7`), base("static", `"environment":"Prod"`),
		base("static", `"environment":"`+strings.Repeat("e", 40)+`"`), base("static", `"environment":{}`),
		base("static", `"entry":"../etc"`), base("static", `"entry":"/etc"`), base("binary", `"entry":"."`), base("binary", `"entry":"a\u0000b"`),
		base("binary", `"entry":["a"]`), base("image", `"entry":"a"`),
		base("static", `"image":"nginx"`), base("binary", `"image":"nginx"`), base("image", `"image":""`), base("image", `"image":5`),
		base("image", `"image":"oci:/etc"`), base("image", `"image":"docker-archive:x.tar"`), base("image", `"image":"OCI-archive:x.tar"`),
		base("image", `"image":" nginx\u0001"`), base("image", `"image":"`+strings.Repeat("n", 2000)+`"`), base("image", `"image":"../x"`), base("image", `"image":"/x"`), base("image", `"image":"https://example.org/x"`), base("image", `"image":"~/x"`),
		base("static", `"command":"x","args":["y"],"workingDir":"/"`),
		base("static", `"source":"https://example.org/r.git","image":"nginx"`), base("static", `"ref":"main"`), base("static", `"source":{}`),
		base("static", `"commit_sha":"xyz"`), base("static", `"commit_sha":true`), base("static", `"commit_sha":"abc"`),
		base("static", `"mode":"attested"`), base("static", `"mode":"prod"`), base("static", `"mode":1`),
		base("static", `"expected_revision":0`), base("static", `"expected_revision":"7"`), base("static", `"expected_revision":1.5`), base("static", `"expected_revision":-1`),
		base("static", `"labels":[]`), base("static", `"labels":{"a b":"x","c":1,"d":"`+strings.Repeat("x", 257)+`"}`),
		base("image", `"port":0`), base("image", `"port":"http"`), base("image", `"port":70000`), base("image", `"ports":8080`), base("image", `"ports":{"a":1}`),
		base("image", `"ports":[0]`), base("image", `"ports":[8080.5,-1,true,null]`), base("image", `"ports":["80:8080",`+"\n"+`"x:y"]`),
		base("image", `"ports":[{"targetPort":80,"protocl":"http"}]`), base("image", `"ports":[{"name":"x"}]`), base("image", `"ports":["80/http","81/http"]`),
		base("image", `"ports":["80:1","80:2"]`), base("image", `"port":80,"host":"nodots"`), base("image", `"host":"a.example.org"`),
		base("image", `"listen":{"port":80},"port":80`), base("image", `"listen":80`), base("image", `"listen":{}`), base("image", `"listen":{"port":0}`),
		base("image", `"listen":{"port":80,"protocol":"sctp"}`), base("image", `"listen":{"port":80,"hostIP":"192.0.2.1"}`), base("image", `"listen":{"prt":80}`),
		base("image", `"env":{"A":{"s3cret":1}}`), base("image", `"env":{"A":null}`), base("image", `"env":{"1A":"s3cret"}`), base("image", `"env":"A=s3cret"`),
		base("image", `"env":[{"name":"A"}]`), base("image", `"env":[{"name":"A","value":"s3cret"},{"name":"A","value":"s3cret"}]`),
		base("image", `"env":{"A":"s3cret\u0001"}`), base("image", `"env":{"A":"1","A":"s3cret"}`), base("image", `"env":{"a/b~c":[]}`),
		base("image", `"env":{"`+strings.Repeat("N", 2000)+`":"x"}`), base("image", `"env":{"B\u001b[31m":[]}`), base("image", `"env":{"x":"\ud800"}`),
		base("image", `"command":"a 'b"`), base("image", `"command":["a",{}]`), base("image", `"args":"a && b"`), base("image", `"workingDir":"srv"`),
		base("image", `"resources":{"cpu":"x","memory":"1m","gpu":1}`), base("image", `"resources":[]`), base("image", `"resources":{"memory":"1"}`),
		base("image", `"health":"/x"`), base("image", `"health":{}`), base("image", `"health":{"http":"/x"}`), base("image", `"health":{"http":"x","tcp":0,"interval":"1ms"}`),
		base("image", `"port":80,"health":{"tcp":80},"health_path":"/x"`), base("image", `"health_path":"/x"`), base("image", `"port":80,"health_path":"x"`), base("image", `"port":80,"health_path":7`),
		base("image", `"replicas":0`), base("image", `"replicas":101`), base("image", `"replicas":{"min":1,"max":2}`), base("image", `"replicas":"two"`), base("image", `"replicas":{"mni":1}`),
		base("image", `"volumes":{}`), base("image", `"volumes":[{"name":"data","path":"/data"}]`), base("image", `"volumes":[{"path":"/data","type":"persistent"}]`),
		base("image", `"volumes":[{"path":"/run/s","type":"secret","source":"/etc/shadow"}]`), base("image", `"volumes":[{"path":"/x","type":"emptyDir","source":"/etc"}]`),
		base("image", `"volumes":[{"path":"/proc","type":"emptyDir"},{"path":"/a","type":"emptyDir"},{"path":"/a/b","type":"emptyDir"}]`),
		base("image", `"volumes":[{"host_path":"/","container_path":"/host"}]`), base("image", `"volumes":[{"name":"d","type":"disk","path":"/d"}]`),
		base("image", `"access":{"exec":"yes"}`), base("image", `"access":true`), base("image", `"access":{"portForward":true}`), base("image", `"runtimeClass":"A"`),
		base("image", `"containers":[]`), base("image", `"environmnet":"x"`), base("image", `"<<":{"name":"x"}`),
		base("image", `"env":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)),
		base("static", `"port":8080,"x":"`+strings.Repeat("\u007f", direct.MaxBytes/2)+`"`), base("image", `"env":{"A":"`+strings.Repeat("\u007f", direct.MaxBytes-100)+`"}`),
		`"` + strings.Repeat("x", direct.MaxBytes) + `"`, base("image", `"env":[`+strings.Repeat("{},", 8<<10)+`{}]`),
		"{\n\"runtime\":\"lua\",\n\"ports\":[8080,\n\"a\"],\n\"env\":{\"A\":[]},\n\"nmae\":\"x\",\n\"replicas\":0}",
	}
	if len(texts) < 60 {
		t.Errorf("%d cases", len(texts))
	}
	golden(t, "invalid.golden", refused(t, texts, "manifest.invalid", parse))
}

func TestInvalidDeployment(t *testing.T) {
	tish := func(rest string) string { return `{"artifact_id":"` + uuid + `",` + rest + `}` }
	golden(t, "invalid-deployment.golden", refused(t, []string{
		`[]`, `{"artifact_id":`, `{"artifact_id":"x"}`, `{"artifact_id":7}`,
		`{"image":"nginx"}`, `{"process_type":"docker","image":"oci:/x"}`,
		tish(`"process_type":"docker","image":"nginx"`), tish(`"process_type":"wasm"`), tish(`"process_type":1`), tish(`"process_type":""`),
		tish(`"process_type":"docker","entry":"x"`), tish(`"image":"nginx"`), tish(`"entry":"../x"`), tish(`"entry":"."`),
		tish(`"environment":"A"`), tish(`"environment":1`), tish(`"replicas":-1`), tish(`"replicas":0.5`), tish(`"resources":{"cpus":1}`),
		tish(`"networking":[]`), tish(`"networking":{"prt":1}`), tish(`"networking":{"port":0}`), tish(`"networking":{"port":"x"}`), tish(`"networking":{"port":70000,"health_path":"/"}`),
		tish(`"networking":{"protocol":"udp"}`), tish(`"networking":{"protocol":1}`), tish(`"networking":{"health_path":"x"}`), tish(`"networking":{"health_path":1}`),
		`{"process_type":"docker","image":"nginx","networking":{"health_path":"/x"}}`,
		tish(`"volumes":[{"host_path":"/","container_path":"/host"},{"name":"d","path":"/d","type":"persistent"}]`), tish(`"volumes":[{"container_path":"/host"}]`),
		tish(`"volumes":[{"host_path":null}]`), tish(`"volumes":"x"`), tish(`"env":[1]`), tish(`"env":{"A":["s3cret"]}`), tish(`"labels":{"":"x"}`), tish(`"commit_sha":"main"`),
		tish(`"cold_start_enabled":"no"`), tish(`"idle_timeout_secs":-1`), tish(`"max_runtime_secs":"1h"`), tish(`"name":"x"`), tish(`"artifact_id":"x"`),
	}, "deployment.invalid", deployment))
}

// TestAllFaults does not rely on the golden files.
func TestAllFaults(t *testing.T) {
	_, err := parse("{\n\"runtime\":\"lua\",\n\"ports\":[8080,\n\"a\"],\n\"env\":{\"A\":[]},\n\"nmae\":\"x\",\n\"replicas\":0}")
	want := []string{
		"line 1: /name: got nothing, want a value: it is required",
		`line 2: /runtime: got "lua", want one of static, binary, image, python, node, go, dockerfile`,
		`line 4: /ports/1: got "a", want a target port, "EXTERNAL:TARGET", either with /tcp or /udp, or "TARGET/http"`,
		`line 5: /env/A: got a list, want text, a number, true or false (write "" for nothing)`,
		`line 6: /nmae: got unknown field "nmae", did you mean "name"?`,
		`line 7: /replicas: got "0", want a number from 1 to 100`,
	}
	if d := cmp.Diff(want, faults(err)); d != "" {
		t.Error(d)
	}
	if _, err := direct.Parse([]byte(`{"name":"a","runtime":"static"}`), direct.Defaults{}); len(faults(err)) != 1 || faults(err)[0] != "line 1: /namespace: got nothing, want the namespace that the app goes to" {
		t.Errorf("no namespace: %v", err)
	}
}
