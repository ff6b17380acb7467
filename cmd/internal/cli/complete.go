package cli

import (
	"github.com/spf13/cobra"
)

// Complete lets a shell complete the values of a flag. An unknown flag is a
// fault of the caller.
func Complete(cmd *cobra.Command, flag string, values ...string) {
	must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

// CompleteYAML lets a shell complete the values of a flag with YAML files.
func CompleteYAML(cmd *cobra.Command, flag string) {
	must(cmd.RegisterFlagCompletionFunc(flag, YAMLFiles))
}

// YAMLFiles completes YAML files.
func YAMLFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

func must(err error) {
	if err != nil {
		panic("cli: internal error: " + err.Error())
	}
}
