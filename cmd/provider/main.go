// Command provider runs pods of publishers it need not trust, on a machine
// that they need not trust, and proves which software handles them.
package main

import (
	"os"
	"runtime/debug"

	"apocryph/cmd/internal/cli"
	"apocryph/provider/containerd/attendant"
)

func main() {
	// A program that was built without the attendant is that, too.
	if attendant.Run() {
		return
	}
	// A provider shares its machine with those who rent it: memory is dearer here
	// than the collector's time. GOGC still counts where somebody set it.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	os.Exit(cli.Main("provider", newRoot))
}
