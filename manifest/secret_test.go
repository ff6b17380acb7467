package manifest

import (
	"fmt"
	"strings"
	"testing"
)

func TestSecretFaults(t *testing.T) {
	many := map[string][]byte{}
	for i := range MaxSecretFiles + 1 {
		many[fmt.Sprint(i)] = nil
	}
	for name, c := range map[string]struct {
		files map[string][]byte
		want  []string
	}{
		"good":     {map[string][]byte{"token": []byte("CANARY"), "tls.key": nil, "-_": nil, strings.Repeat("x", 253): nil}, nil},
		"full":     {map[string][]byte{"a": make([]byte, MaxSecretBytes)}, nil},
		"nothing":  {nil, []string{"0 files"}},
		"too many": {many, []string{"257 files"}},
		"large":    {map[string][]byte{"a": make([]byte, MaxSecretBytes), "b": []byte("x")}, []string{"1048577 bytes"}},
		"names": {
			map[string][]byte{".hidden": []byte("CANARY"), "..": nil, "a/b": nil, "": nil, "a b": nil, "a\n": nil, strings.Repeat("x", 254): nil},
			[]string{`a file ""`, `a file ".."`, `a file ".hidden"`, `a file "a\n"`, `a file "a b"`, `a file "a/b"`, `a file "xxx`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := SecretFaults("secrets.s", c.files)
			if len(got) != len(c.want) {
				t.Fatalf("got %v, want %q", got, c.want)
			}
			for i, f := range got {
				if f.Field != "secrets.s" || !strings.HasPrefix(f.Got, c.want[i]) || strings.Contains(f.String(), "CANARY") {
					t.Errorf("got %v, want %q", f, c.want[i])
				}
			}
		})
	}
}

func TestReserved(t *testing.T) {
	for p, want := range map[string]string{
		"/data": "", "/etc": "", "/etc/app": "", "/etc/hosts.d": "", "/procs": "", "/var/proc": "",
		"/proc": "/proc", "/proc/1": "/proc", "/dev/shm": "/dev", "/sys/fs": "/sys", "/etc/hosts": "/etc/hosts", "/etc/resolv.conf": "/etc/resolv.conf",
		"/etc/hostname": "/etc/hostname", "/etc/hosts/x": "/etc/hosts",
	} {
		if got := Reserved(p); got != want {
			t.Errorf("%s: got %q, want %q", p, got, want)
		}
	}
}
