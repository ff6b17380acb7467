package nearest

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	names := []string{"image", "command", "port", "ports", "env", "resources", "readOnly"}
	for name, want := range map[string]string{
		"imgae": "image", "Image": "image", "imag": "image", "comand": "command", "prot": "port", "envs": "env",
		"environment": "env", "res": "resources", "readonly": "readOnly", "read-only": "readOnly",
		"x": "", "": "", "qwertyuiop": "", strings.Repeat("a", 41): "",
	} {
		if got := Name(name, names); got != want {
			t.Errorf("Name(%q) = %q, want %q", name, got, want)
		}
	}
}
