// Command apocryph-attendant is a container's shim or the writer of its log, by
// the name that it is started under. The provider has it embedded.
package main

import (
	"fmt"
	"os"

	"apocryph/provider/containerd/attendant"
)

func main() {
	if !attendant.Run() {
		fmt.Fprintln(os.Stderr, "apocryph-attendant is started by a provider")
		os.Exit(2)
	}
}
