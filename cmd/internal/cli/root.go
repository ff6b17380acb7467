package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// usageTemplate is the form of help texts, 96 columns wide.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND [flags]{{else}}{{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}{{$all := .Commands}}{{range $group := .Groups}}

{{$group.Title}}{{range $all}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}{{if .AllChildCommandsHaveGroup}}{{else}}

{{if .Groups}}Other:{{else}}Commands:{{end}}{{range $all}}{{if and (not .GroupID) (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 96 | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Global flags:
{{.InheritedFlags.FlagUsagesWrapped 96 | trimTrailingWhitespaces}}{{end}}
`

// Root finishes a program's root command, when all others are in it: --json,
// --version, version, help, completion, the form of help texts, and values of
// flags from the environment and the configuration file.
func (a *App) Root(root *cobra.Command) *cobra.Command {
	var version bool
	Group(root)
	group := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if version && len(args) == 0 {
			return a.printVersion()
		}
		return group(cmd, args)
	}
	root.Flags().BoolVar(&version, "version", false, "print the version")
	global := root.PersistentFlags()
	global.BoolVar(&a.JSON, "json", false, "one JSON object a line on standard output")
	global.BoolP("help", "h", false, "show this help")
	root.SetUsageTemplate(usageTemplate)
	root.AddCommand(&cobra.Command{
		Use: "version", Short: "Print the version", Example: "  " + root.Name() + " version --json",
		RunE: func(*cobra.Command, []string) error { return a.printVersion() },
	})
	root.SetHelpCommand(newHelp())
	root.SetOut(a.Stdout) // before the completion commands are made, which keep it
	root.InitDefaultCompletionCmd()
	a.finishCommands(root)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.Settle(cmd) }
	return root
}

// finishCommands gives each command below cmd its defaults.
func (a *App) finishCommands(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		switch {
		case c.HasSubCommands() && !c.Runnable():
			Group(c)
		case c.Name() != "help":
			c.Args = Positional
		}
		if c.ValidArgsFunction == nil && !c.HasSubCommands() {
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
		a.finishCommands(c)
	}
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command", Args: cobra.ArbitraryArgs,
		// Not the values of flags: what is wrong with them may be why help is asked for.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				if len(rest) == 0 {
					rest = args
				}
				if found == nil || !found.HasSubCommands() {
					found = cmd.Root()
				}
				return unknownCommand(found, rest[0])
			}
			return found.Help()
		},
	}
}

func (a *App) printVersion() error {
	if a.JSON {
		a.Result(struct {
			Version  string `json:"version"`
			Platform string `json:"platform"`
		}{Version(), Platform()})
		return nil
	}
	_, err := fmt.Fprintf(a.Stdout, "%s %s %s\n", a.Name, Version(), Platform())
	return err
}
