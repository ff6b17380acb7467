package e2e

import (
	"os"
	"testing"

	"apocryph/e2e/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.Forget()
	os.Exit(code)
}

// app is a manifest of the sample app with more lines for its container.
func app(name, image string, lines ...string) string {
	out := "name: " + name + "\ncontainers:\n  - name: web\n    image: oci:" + image + "\n    port: 8080\n    resources: {cpu: 100m, memory: 64Mi}\n"
	for _, l := range lines {
		out += "    " + l + "\n"
	}
	return out
}
