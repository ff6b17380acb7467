// Command publisher deploys containers to providers that belong to strangers,
// after proof of the software that will handle them.
package main

import (
	"os"

	"apocryph/cmd/internal/cli"
)

func main() { os.Exit(cli.Main("publisher", newRoot)) }
