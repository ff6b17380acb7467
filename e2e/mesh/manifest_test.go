package mesh

import (
	"fmt"
	"runtime"
	"strings"
)

// platform is this machine's.
const platform = "linux/" + runtime.GOARCH

// app is a manifest of one container that serves HTTP, with more lines for it.
func app(name, image string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\ncontainers:\n  - name: web\n    image: %s\n    port: 8080\n", name, image)
	for _, l := range append([]string{"resources: {cpu: 100m, memory: 64Mi}"}, lines...) {
		fmt.Fprintf(&b, "    %s\n", l)
	}
	return b.String()
}
