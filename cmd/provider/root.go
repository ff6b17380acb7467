package main

import (
	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
)

func newRoot(app *cli.App) *cobra.Command {
	root := &cobra.Command{
		Use:   "provider",
		Short: "Run pods of publishers, and prove which software handles them",
		Long: `Run pods of publishers, and prove which software handles them.

Exit codes: 0 done, 1 internal error, 2 usage, 10 invalid argument, 11 not
allowed, 12 untrusted, 13 not found, 14 conflict, 15 exhausted,
16 unimplemented, 17 unavailable, 18 out of time, 130 interrupted.`,
		Example: `  provider doctor
  provider serve --tee tpm2 --prices prices.yaml
  provider serve --tee soft --data-dir /tmp/p1        # development, proves nothing`,
	}
	root.AddCommand(newServe(app), newConfig(app), newPods(app), newToken(app), newDoctor(app))
	return app.Root(root)
}
