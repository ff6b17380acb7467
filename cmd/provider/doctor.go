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
		Use: "doctor", Short: "Check whether this machine can be a provider, and say what to do",
		Long: `Check whether this machine can be a provider with this configuration, and say
what to do where it cannot. Nothing is started or changed. Exit code 17 when a
check fails.`,
		Example: `  provider doctor
  provider doctor --tee tpm2 --tpm unix:/run/swtpm.sock
  provider doctor --config /etc/apocryph/provider.yaml --json`,
	}
	o.add(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := o.settled(app); err != nil {
			return err
		}
		checks := append(providerd.Diagnose(o.cfg), checkConfig(o.cfg))
		failed := 0
		for _, c := range checks {
			if !c.OK {
				failed++
			}
			printCheck(app, c)
		}
		app.Result(struct {
			Checks int `json:"checks"`
			Failed int `json:"failed"`
		}{len(checks), failed})
		if failed > 0 {
			return status.New(status.Unavailable, "doctor", "%s failed", cli.Count(failed, "check"))
		}
		return nil
	}
	return cmd
}

// checkConfig reads the files that a configuration names.
func checkConfig(cfg providerd.Config) providerd.Diagnosis {
	if _, err := providerd.New(cfg); err != nil {
		return providerd.Diagnosis{Name: "config", Found: err.Error(), Do: "`provider config` shows what is in effect"}
	}
	return providerd.Diagnosis{Name: "config", OK: true, Found: "without faults"}
}

func printCheck(app *cli.App, c providerd.Diagnosis) {
	if app.JSON {
		app.Emit("check", struct {
			Name  string `json:"name"`
			OK    bool   `json:"ok"`
			Found string `json:"found"`
			Do    string `json:"do,omitempty"`
		}(c))
		return
	}
	mark := "ok  "
	if !c.OK {
		mark = "FAIL"
	}
	fmt.Fprintf(app.Stdout, "%s  %-10s  %s\n", mark, c.Name, cli.Clean(c.Found))
	if c.Do != "" {
		fmt.Fprintf(app.Stdout, "      %-10s  -> %s\n", "", c.Do)
	}
}
