package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/provider/providerd"
)

func newDoctor(app *cli.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check whether this machine can be a provider, and say what to do", Args: cli.Args(cobra.NoArgs),
		Example: "  provider doctor\n  provider doctor --tee tpm2 --tpm unix:/run/swtpm.sock",
	}
	o.add(cmd, app)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := app.Settle(cmd, configFile(app, o.file)); err != nil {
			return err
		}
		bad := 0
		for _, c := range providerd.Diagnose(o.cfg) {
			if !c.OK {
				bad++
			}
			if app.JSON {
				app.PrintJSON(map[string]any{"event": "check", "name": c.Name, "ok": c.OK, "found": c.Found, "do": c.Do})
				continue
			}
			mark := "ok  "
			if !c.OK {
				mark = "FAIL"
			}
			fmt.Fprintf(app.Stdout, "%s  %-11s %s\n", mark, c.Name, c.Found)
			if c.Do != "" {
				fmt.Fprintf(app.Stdout, "      %-11s -> %s\n", "", c.Do)
			}
		}
		if app.JSON {
			app.PrintJSON(map[string]any{"event": "result", "failed": bad})
		}
		if bad > 0 {
			return status.New(status.Unavailable, "doctor", "%d checks failed", bad)
		}
		return nil
	}
	return cmd
}
