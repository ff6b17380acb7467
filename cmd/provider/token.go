package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
)

// apiToken is a token as the socket answers it.
type apiToken struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Scopes   []string   `json:"scopes"`
	Created  time.Time  `json:"created_at"`
	Expires  time.Time  `json:"expires_at"`
	LastUsed *time.Time `json:"last_used_at,omitempty"`
	// Token is the secret, in the answer to its making alone.
	Token string `json:"token,omitempty"`
}

func newToken(app *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Make and revoke tokens for the HTTP API",
		Long: `Make and revoke tokens for the HTTP API of the provider that runs on this
machine, by its socket.`,
		Example: `  provider token create --name ci --scope deploy:team --expires 720h
  provider token list
  provider token revoke k5f3n2qxw7a4e`,
	}
	cmd.AddCommand(newTokenCreate(app), newTokenList(app), newTokenRevoke(app))
	return cmd
}

// tokenCommand adds what every command of tokens needs to find the socket.
func tokenCommand(app *cli.App, cmd *cobra.Command, run func(cmd *cobra.Command, socket string, args []string) error) *cobra.Command {
	var o options
	addConfig(cmd)
	addDataDir(cmd, &o.cfg.DataDir)
	addAPISocket(cmd, &o.cfg.APISockets)
	cli.AllowKeys(cmd, newServe(app))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := o.settled(app); err != nil {
			return err
		}
		return run(cmd, o.cfg.APISockets[0], args)
	}
	return cmd
}

func newTokenCreate(app *cli.App) *cobra.Command {
	var name string
	var scopes []string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token and print it once",
		Long: `Make a token and print it, once: the provider keeps only its hash. A scope is
deploy:NAMESPACE, read:NAMESPACE (NAMESPACE may be *) or operator.`,
		Example: "  provider token create --name ci --scope deploy:team --expires 720h",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&name, "name", "", "`NAME` to know the token by")
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "`SCOPE` of what its bearer may do, repeatable")
	cmd.Flags().DurationVar(&expires, "expires", 30*24*time.Hour, "`TIME` that it lasts, at most a year (8760h)")
	for _, f := range []string{"name", "scope"} {
		_ = cmd.MarkFlagRequired(f) // it was just added
	}
	return tokenCommand(app, cmd, func(cmd *cobra.Command, socket string, _ []string) error {
		raw, err := askSocket(cmd.Context(), socket, http.MethodPost, "/api/v1/tokens", map[string]any{
			"name": name, "scopes": scopes, "expires": expires.String(),
		})
		if err != nil {
			return err
		}
		var t apiToken
		if err := json.Unmarshal(raw, &t); err != nil {
			return fmt.Errorf("reading the provider's answer: %w", err)
		}
		app.Result(t)
		if !app.JSON {
			fmt.Fprintf(app.Stderr, "token %s (%s) for %s, until %s; it is not shown again\n",
				cli.Clean(t.ID), cli.Clean(t.Name), cli.Clean(strings.Join(t.Scopes, ", ")), t.Expires.Local().Format(time.DateTime))
			fmt.Fprintln(app.Stdout, cli.Clean(t.Token))
		}
		return nil
	})
}

func newTokenList(app *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens", Example: "  provider token list --json", Args: cobra.NoArgs,
	}
	return tokenCommand(app, cmd, func(cmd *cobra.Command, socket string, _ []string) error {
		raw, err := askSocket(cmd.Context(), socket, http.MethodGet, "/api/v1/tokens", nil)
		if err != nil {
			return err
		}
		var answer struct {
			Data []apiToken `json:"data"`
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			return fmt.Errorf("reading the provider's answer: %w", err)
		}
		app.Result(struct {
			Tokens []apiToken `json:"tokens"`
		}{answer.Data})
		if app.JSON {
			return nil
		}
		if len(answer.Data) == 0 {
			fmt.Fprintln(app.Stderr, "no tokens")
			return nil
		}
		w := tabwriter.NewWriter(app.Stdout, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAME\tSCOPES\tEXPIRES\tLAST USED")
		for _, t := range answer.Data {
			used := "-"
			if t.LastUsed != nil {
				used = t.LastUsed.Local().Format(time.DateTime)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", cli.Clean(t.ID), cli.Clean(t.Name), cli.Clean(strings.Join(t.Scopes, ",")),
				t.Expires.Local().Format(time.DateTime), used)
		}
		return w.Flush()
	})
}

func newTokenRevoke(app *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "Revoke a token", Example: "  provider token revoke k5f3n2qxw7a4e", Args: cobra.ExactArgs(1),
	}
	return tokenCommand(app, cmd, func(cmd *cobra.Command, socket string, args []string) error {
		if _, err := askSocket(cmd.Context(), socket, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(args[0]), nil); err != nil {
			return err
		}
		app.Result(struct {
			Revoked string `json:"revoked"`
		}{args[0]})
		if !app.JSON {
			fmt.Fprintf(app.Stderr, "token %s is revoked\n", cli.Clean(args[0]))
		}
		return nil
	})
}
