// Command provider runs pods of publishers it need not trust, on a machine
// that they need not trust, and proves which software handles them.
package main

import (
	"os"

	"apocryph/cmd/internal/cli"
	"apocryph/provider/containerd"
)

func main() {
	// Containers' shims and loggers are this program again.
	if containerd.Reexec() {
		return
	}
	os.Exit(cli.Main("provider", newRoot))
}
