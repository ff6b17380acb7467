package manifest

import (
	"fmt"
	"strings"
	"testing"

	"apocryph/proto/status"
)

func TestParseFaults(t *testing.T) {
	top := func(text string) string { return "name: a\ncontainers: [{image: x}]\n" + text }
	one := func(text string) string { return "name: a\ncontainers:\n- image: x\n  " + text }
	tests := []struct{ name, text, want string }{
		{"empty", "", "file: got an empty file, want a mapping"},
		{"only a comment", "# x\n", "file: got an empty file"},
		{"a list", "- a\n", "line 1: file: got a list, want a mapping of name"},
		{"a word", "a\n", `file: got "a"`},
		{"null", "~\n", "file: got nothing"},
		{"not YAML", "a: [\n", "syntax: got"},
		{"two documents", top("---\nname: b\n"), "syntax: got a second document"},
		{"broken second document", top("---\n[\n"), "syntax: got"},
		{"anchor", "name: &n a\ncontainers: [{image: x}]", "line 1: name: got anchor &n, want no anchors"},
		{"alias", "name: &n a\ncontainers: [{image: *n}]", "line 2: containers[0].image: got alias *n"},
		{"merge key", top("<<: {replicas: 1}\n"), `line 3: "<<": got merge key`},
		{"tag", "name: !!str a\ncontainers: [{image: x}]", "name: got tag !!str, want no tags"},
		{"tagged key", top("!!str replicas: 1"), "a key that is not plain text"},
		{"list as key", top("[a]: 1"), "a key that is not plain text"},
		{"duplicate key", top("name: b\n"), "line 3: name: got a second time, first on line 1"},
		{"deep", top("access: " + strings.Repeat("[", 20) + strings.Repeat("]", 20)), "got deep nesting, want at most 16 levels"},
		{"large", top("# " + strings.Repeat("x", MaxBytes)), "file: got 1048"},

		{"unknown field", one("imgae: y"), `line 4: containers[0].imgae: got unknown field "imgae", did you mean "image"?`},
		{"unknown field by its beginning", one("environment: {}"), `did you mean "env"?`},
		{"unknown field near none", one("qwertyuiop: y"), "want one of name, image, command"},
		{"unknown field with control characters", one("\"a\\nb\": y"), `containers[0]."a\nb"`},
		{"container field at the top", top("image: x"), `line 3: image: got unknown field "image", want it under "containers:"`},
		{"misplaced port", "name: a\nport: 80", `port: got unknown field "port", want it under "containers:"`},

		{"no name", "containers: [{image: x}]", "name: got nothing, want a value: it is required"},
		{"name with capitals", "name: App\ncontainers: [{image: x}]", `line 1: name: got "App", want a DNS label`},
		{"long name", "name: " + strings.Repeat("a", 41) + "\ncontainers: [{image: x}]", "of at most 40 characters"},
		{"name is a number", "name: 1\ncontainers: [{image: x}]", `name: got "1", want text (quote a number)`},
		{"name with a bell", "name: \"a\\a\"\ncontainers: [{image: x}]", "name: got control character U+0007"},
		{"no containers", "name: a", "containers: got nothing"},
		{"empty containers", "name: a\ncontainers: []", "containers: got 0, want from 1 to 16"},
		{"containers is a mapping", "name: a\ncontainers: {image: x}", "containers: got a mapping, want a list"},
		{"17 containers", "name: a\ncontainers: [" + strings.Repeat("{name: b, image: x},", 17) + "]", "containers: got 17 elements, want at most 16"},
		{"container is text", "name: a\ncontainers: [nginx]", `containers[0]: got "nginx", want a mapping of name, image`},
		{"container without image", "name: a\ncontainers: [{name: b}]", "containers[0].image: got nothing"},
		{"empty image", "name: a\ncontainers: [{image: ''}]", "containers[0].image: got nothing, want a reference"},
		{"image with blanks", "name: a\ncontainers: [{image: ' x'}]", "without blanks around it"},
		{"two without name", "name: a\ncontainers: [{image: x}, {image: y, name: b}]", "line 2: containers[0].name: got nothing, want a name"},
		{"double names", "name: a\ncontainers: [{name: b, image: x}, {name: b, image: y}]", `containers[1].name: got "b" a second time`},
		{"bad container name", one("name: a_b"), `containers[0].name: got "a_b"`},

		{"replicas 0", top("replicas: 0"), `replicas: got "0", want a number from 1 to 100`},
		{"replicas text", top("replicas: many"), `replicas: got "many"`},
		{"replicas differ", top("replicas: {min: 1, max: 3}"), "replicas.max: got 3, want 1, as min: there is no autoscaling"},
		{"replicas without min", top("replicas: {max: 3}"), "there is no autoscaling"},
		{"replicas with a leading zero", top("replicas: 010"), "replicas: got"},
		{"runtime class", top("runtimeClass: ../runc"), `runtimeClass: got "../runc"`},
		{"access yes", top("access: {exec: yes}"), `access.exec: got "yes", want true or false`},
		{"access unknown", top("access: {portforward: true}"), `did you mean "port-forward"?`},

		{"command with operator", one("command: a && b"), "containers[0].command: got a command line, want no &&"},
		{"command without end", one("command: a 'b"), "an end for the quote '"},
		{"command without words", one("command: '  '"), "got no word, want a program"},
		{"command is a mapping", one("command: {a: b}"), "command: got a mapping, want a list"},
		{"args with null", one("args: [a, ~]"), "args[1]: got nothing"},
		{"513 args", one("args: [" + strings.Repeat("a,", 513) + "]"), "at most 512"},
		{"escape in args", one("args: [\"\\e\"]"), "control character U+001B"},
		{"relative directory", one("workingDir: srv"), `workingDir: got "srv", want an absolute path`},
		{"unclean directory", one("workingDir: /srv/../x"), "want an absolute path"},

		{"env null", one("env: {A: ~}"), `env.A: got nothing, want text, a number, true or false`},
		{"env list value", one("env: {A: [x]}"), "env.A: got a list"},
		{"env name", one("env: {1A: x}"), `env.1A: got "1A", want letters`},
		{"env name with equals", one("env: {A=B: x}"), `got "A=B"`},
		{"env twice", one("env: [{name: A, value: x}, {name: A, value: y}]"), `env[1].name: got "A" a second time`},
		{"env without value", one("env: [{name: A}]"), "env[0].value: got nothing"},
		{"env NUL", one("env: {A: \"a\\0b\"}"), "control character U+0000"},
		{"env long", one("env: {A: " + strings.Repeat("x", MaxEnvValue+1) + "}"), "env.A: got 65537 bytes"},

		{"port 0", one("port: 0"), `port: got "0", want a number from 1 to 65535`},
		{"port 65536", one("port: 65536"), "want a number from 1 to 65535"},
		{"port fraction", one("port: 80.5"), `got "80.5"`},
		{"port negative", one("port: -1"), `got "-1"`},
		{"port null", one("port: ~"), "port: got nothing"},
		{"ports scalar", one("ports: 80"), "ports: got a number, want a list"},
		{"short external http", one("ports: ['80:80/http']"), `ports[0]: got "80:80/http", want a target port`},
		{"short protocol", one("ports: [80/sctp]"), "ports[0]: got"},
		{"short zero", one("ports: ['80:0']"), "ports[0]: got"},
		{"short too large", one("ports: ['99999:80']"), "ports[0]: got"},
		{"short with address", one("ports: ['127.0.0.1:80:80']"), "ports[0]: got"},
		{"short null", one("ports: [~]"), "ports[0]: got nothing"},
		{"port without target", one("ports: [{name: x}]"), "ports[0].targetPort: got nothing"},
		{"port protocol", one("ports: [{port: 1, protocol: sctp}]"), `protocol: got "sctp", want http, tcp or udp`},
		{"http with external port", one("ports: [{port: 80, targetPort: 8080, protocol: http}]"), "ports[0].port: got 80, want none: http is routed by host name"},
		{"http with address", one("ports: [{port: 80, protocol: http, hostIP: 10.0.0.1}]"), "hostIP: got"},
		{"tcp with host", one("ports: [{port: 80, protocol: tcp, host: a.org}]"), "host: got"},
		{"bad address", one("ports: [{port: 80, hostIP: 10.0.0.256}]"), `hostIP: got "10.0.0.256"`},
		{"zoned address", one("ports: [{port: 80, hostIP: 'fe80::1%eth0'}]"), "hostIP: got"},
		{"multicast", one("ports: [{port: 80, hostIP: 224.0.0.1}]"), "hostIP: got"},
		{"port name", one("ports: [{port: 80, name: A}]"), "name: got"},
		{"port names twice", one("ports: [{port: 80, name: a}, {port: 81, name: a}]"), "ports[1].name: got"},
		{"target twice", one("ports: [80, 80]"), "ports[1]: got 80/tcp a second time"},
		{"external twice", one("ports: ['80:1', '80:2']"), "ports[1]: got 80/tcp a second time, want another external port"},
		{"external twice on one address", one("ports: [{port: 80, targetPort: 1, hostIP: 10.0.0.1}, {port: 80, targetPort: 2}]"), "ports[1].port: got"},
		{"target of two containers", "name: a\ncontainers: [{name: b, image: x, port: 80}, {name: c, image: x, ports: [80]}]", "containers[1].ports[0]: got 80/tcp of another container"},
		{"two http ports", one("ports: [80/http, 81/http]"), "ports[1]: got a second http port without a host"},
		{"host twice", one("ports: [{port: 80, host: a.org}, {port: 81, host: A.org}]"), `host: got "a.org" a second time`},
		{"host without port", one("host: a.org"), "host: got a host without an http port"},
		{"host for several", one("host: a.org\n  ports: [80/http, 81/http]"), "host: got a host for several http ports"},
		{"host given twice", one("host: a.org\n  ports: [{port: 80, host: b.org}]"), "host: got a second host"},
		{"host of one label", one("port: 80\n  host: app"), `got "app", want a host name`},
		{"host is an address", one("port: 80\n  host: 10.0.0.1"), `got "10.0.0.1"`},
		{"wildcard host", one("port: 80\n  host: '*.a.org'"), "want a host name"},

		{"resources list", one("resources: [cpu]"), "resources: got a list"},
		{"bad quantity", one("resources: {cpu: 1x}"), `cpu: got "1x", want a quantity such as 250m, 64Mi or 1G (the suffix is none of`},
		{"little cpu", one("resources: {cpu: 1m}"), "cpu: got 1m, want from 10 to"},
		{"negative", one("resources: {cpu: -1}"), "(less than nothing)"},
		{"little memory", one("resources: {memory: 64}"), "memory: got 64 bytes, want from"},
		{"millibytes", one("resources: {memory: 64m}"), `memory: got "64m", thousandths of a byte, want Mi or M`},
		{"MB", one("resources: {memory: 64MB}"), `memory: got "64MB"`},
		{"much memory", one("resources: {memory: 1Ei}"), "memory: got"},
		{"overflow", one("resources: {memory: 99999E}"), "(too large)"},
		{"null quantity", one("resources: {memory: ~}"), "memory: got nothing"},
		{"limits as well", one("resources: {memory: 1Gi, limits: {memory: 1Gi}}"), "limits.memory: got memory as well"},
		{"limits in limits", one("resources: {limits: {limits: {}}}"), `unknown field "limits"`},
		{"no pids", one("resources: {pids: 0}"), "pids: got"},
		{"half a gpu", one("resources: {nvidia.com/gpu: 0.5}"), `nvidia.com/gpu: got "0.5"`},
		{"gpu name", one("resources: {-/gpu: 1}"), "want a resource name such as nvidia.com/gpu"},
		{"gpu twice", one("resources: {nvidia.com/gpu: 1, limits: {nvidia.com/gpu: 1}}"), "nvidia.com/gpu as well"},
		{"no vendor", one("resources: {gpu: 1}"), `unknown field "gpu"`},

		{"two checks", one("health: {tcp: 80, command: [a]}"), "health: got 2 kinds of check"},
		{"no check", one("health: {interval: 1s}"), "health: got 0 kinds of check"},
		{"health text", one("health: /x"), `health: got "/x"`},
		{"http check without port", one("health: {http: /x}"), "health.http.port: got nothing, want a port: the container has no http port"},
		{"http check of several ports", one("health: {http: /x}\n  ports: [{port: 80, host: a.org}, {port: 81, host: b.org}]"), "there are several http ports"},
		{"http check without path", one("health: {http: {port: 80}}"), "health.http.path: got nothing"},
		{"http check path", one("health: {http: {port: 80, path: 'x y'}}"), "want a path of a URL"},
		{"http check number", one("health: {http: 80}"), `health.http: got "80"`},
		{"http check text", one("health: {http: x}"), `want "/path" or "PORT/path"`},
		{"http check port", one("health: {http: 99999/x}"), "want a port from 1 to 65535"},
		{"tcp check port", one("health: {tcp: 0}"), "health.tcp: got"},
		{"interval", one("health: {tcp: 80, interval: fast}"), `interval: got "fast", want a time from 1s to 1h`},
		{"short interval", one("health: {tcp: 80, interval: 10ms}"), "want a time from 1s"},
		{"long start", one("health: {tcp: 80, start: 3601}"), "want a time from 1s"},
		{"interval list", one("health: {tcp: 80, interval: [1]}"), "interval: got a list"},
		{"failures", one("health: {tcp: 80, failures: 0}"), "failures: got"},

		{"unknown volume", one("volumes: [{name: v, path: /v}]"), `volumes[0].name: got "v", want the name of a volume of this manifest`},
		{"mount without name", one("volumes: [{path: /v}]"), "volumes[0].name: got nothing, want the name of a volume"},
		{"mount without path", one("volumes: [{type: emptyDir}]"), "volumes[0].path: got nothing"},
		{"mount with two paths", one("volumes: [{type: emptyDir, path: /a, mountPath: /b}]"), "mountPath as well"},
		{"mount text", one("volumes: ['v:/v']"), `volumes[0]: got "v:/v", want a mapping`},
		{"inline persistent without name", one("volumes: [{type: persistent, path: /v}]"), "volumes[0].name: got nothing"},
		{"inline without type", one("volumes: [{name: v, size: 1Gi, path: /v}]"), "volumes[0].type: got nothing"},
		{"inline twice", one("volumes: [{name: v, type: emptyDir, path: /v}, {name: v, type: emptyDir, path: /w}]"), `volumes[1].name: got "v" a second time`},
		{"relative mount", one("volumes: [{type: emptyDir, path: v}]"), `path: got "v", want an absolute path`},
		{"mount of root", one("volumes: [{type: emptyDir, path: /}]"), `path: got "/"`},
		{"mount with dots", one("volumes: [{type: emptyDir, path: /a/../b}]"), "want an absolute path"},
		{"mount of proc", one("volumes: [{type: emptyDir, path: /proc}]"), "outside of /proc"},
		{"mount in sys", one("volumes: [{type: emptyDir, path: /sys/fs}]"), "outside of /sys"},
		{"mount in mount", one("volumes: [{type: emptyDir, path: /a}, {type: emptyDir, path: /a/b}]"), `volumes[1].path: got "/a/b", want a path apart`},
		{"mount around mount", one("volumes: [{type: emptyDir, path: /a/b}, {type: emptyDir, path: /a}]"), `volumes[1].path: got "/a"`},
		{"writable secret", one("volumes: [{type: secret, source: s, path: /a, readOnly: false}]"), "readOnly: got false, want true"},
		{"secret without source", one("volumes: [{type: secret, path: /a}]"), "volumes[0].source: got nothing"},
		{"secret with empty source", one("volumes: [{type: secret, source: '', path: /a}]"), "volumes[0].source: got nothing"},
		{"secret with size", one("volumes: [{type: secret, source: s, size: 1, path: /a}]"), "volumes[0].size: got a size"},
		{"source of no secret", top("volumes: [{name: v, type: emptyDir, source: s}]"), "volumes[0].source: got a source"},
		{"volume without type", top("volumes: [{name: v}]"), "volumes[0].type: got nothing, want emptyDir"},
		{"volume without name", top("volumes: [{type: emptyDir}]"), "volumes[0].name: got nothing"},
		{"volume type", top("volumes: [{name: v, type: nfs}]"), `volumes[0].type: got "nfs", want emptyDir`},
		{"volume name", top("volumes: [{name: V, type: emptyDir}]"), `volumes[0].name: got "V"`},
		{"volume twice", top("volumes: [{name: v, type: emptyDir}, {name: v, type: emptyDir}]"), "volumes[1].name: got"},
		{"two sizes", top("volumes: [{name: v, type: emptyDir, size: 1Gi, resources: {storage: 1Gi}}]"), "a second size"},
		{"size 0", top("volumes: [{name: v, type: emptyDir, size: 0}]"), "at least one byte"},
		{"size text", top("volumes: [{name: v, type: emptyDir, size: big}]"), `size: got "big"`},
		{"size null", top("volumes: [{name: v, type: emptyDir, size: ~}]"), "size: got nothing"},
		{"huge size", top("volumes: [{name: v, type: emptyDir, size: 2Pi}]"), "size: got"},
		{"no storage", top("volumes: [{name: v, type: emptyDir, resources: {}}]"), "resources.storage: got nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseFile([]byte(tt.text))
			if m != nil || status.CodeOf(err) != status.InvalidArgument || status.ReasonOf(err) != "manifest.invalid" {
				t.Fatalf("got %v, %v", m, err)
			}
			lines := faultLines(err)
			for _, line := range lines {
				if strings.Contains(line, tt.want) {
					return
				}
			}
			t.Errorf("no fault has %q:\n%s", tt.want, strings.Join(lines, "\n"))
		})
	}
}

// TestSingleFault: what is wrong once is said once.
func TestSingleFault(t *testing.T) {
	for _, text := range []string{
		"name: 5\ncontainers: [{image: x, name: b}]",
		"name: a\ncontainers: [{imgae: y, image: x}]",
		"name: a\ncontainers: [{image: x, ports: [zero]}]",
		"name: a\ncontainers: [{image: x, ports: [{protocol: http}]}]",
		"name: a\ncontainers: [{image: x, health: {http: [1]}}]",
		"name: a\ncontainers: nope",
		"name: A\ncontainers: [{image: x}]",
		"containers: [{image: x}]",
		"name: a\ncontainers: [{image: x, volumes: [{name: v, type: nfs, path: /v}]}]",
		"name: a\ncontainers: [{image: x, env: [{name: [A], value: b}]}]",
		"name: a\ncontainers: [{image: *x}]",
	} {
		_, err := ParseFile([]byte(text))
		if lines := faultLines(err); len(lines) != 1 {
			t.Errorf("%s\n%s", text, strings.Join(lines, "\n"))
		}
	}
}

func TestFaultsTogetherInOrder(t *testing.T) {
	_, err := ParseFile([]byte("volumes: [{name: V, type: emptyDir}]\nname: A\ncontainers:\n- image: x\n  port: 0\n  imgae: y\n- image: y\n  name: b\nreplicas: 0\n"))
	want := []string{"line 1: volumes[0].name", "line 2: name", "line 4: containers[0].name", "line 5: containers[0].port", "line 6: containers[0].imgae", "line 9: replicas"}
	lines := faultLines(err)
	if len(lines) != len(want) {
		t.Fatalf("got\n%s", strings.Join(lines, "\n"))
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("fault %d is %s, want %s", i, line, want[i])
		}
	}
}

func TestFaultsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("name: a\ncontainers: [{image: x}]\n")
	for i := range 10000 {
		fmt.Fprintf(&b, "zz%d: &a *b\n", i)
	}
	_, err := ParseFile([]byte(b.String()))
	if n := len(faultLines(err)); n == 0 || n > maxFaults {
		t.Errorf("%d faults", n)
	}
}

// TestFaultsKeepSecrets: values of env and commands are repeated nowhere.
func TestFaultsKeepSecrets(t *testing.T) {
	const canary = "hunter2"
	for _, text := range []string{
		"env: {A: [hunter2]}",
		"env: {A: \"hunter2\\0\"}",
		"env: {1A: hunter2}",
		"env: [{name: A, value: {hunter2: 1}}]",
		"command: x --password=hunter2 && y",
		"args: [\"hunter2\\a\"]",
		"env: {A: " + strings.Repeat(canary, MaxEnvValue/4) + "}",
	} {
		_, err := ParseFile([]byte("name: a\ncontainers:\n- image: x\n  " + text))
		if err == nil {
			t.Errorf("%s is accepted", text)
		}
		if all := strings.Join(append(faultLines(err), fmt.Sprint(err)), "\n"); strings.Contains(all, canary) {
			t.Errorf("%s\n%s", text, all)
		}
	}
}
