package main

import (
	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
)

func newConfig(app *cli.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "config", Short: "Check the configuration and show what is in effect",
		Long: `Check the configuration, and the files that it names, and show what is in effect
as a configuration file. A comment says where a value comes from that is not the
default. Nothing is started.`,
		Example: `  provider config --config provider.yaml
  APOCRYPH_TEE=tpm2 provider config > provider.yaml`,
	}
	o.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := o.node(cmd, app); err != nil {
			return err
		}
		settings := cli.Effective(cmd)
		if app.JSON {
			values, sources := map[string]any{}, map[string]string{}
			for _, s := range settings {
				values[s.Name], sources[s.Name] = s.Value, s.Source
			}
			app.Result(struct {
				Config  map[string]any    `json:"config"`
				Sources map[string]string `json:"sources"`
			}{values, sources})
			return nil
		}
		b, err := cli.ConfigFile(settings)
		if err != nil {
			return err
		}
		_, err = app.Stdout.Write(b)
		return err
	}
	return cmd
}
