package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher/httpclient"
)

// tokenVariable has the token where nothing is stored, as in a CI job.
const tokenVariable = "APOCRYPH_API_TOKEN"

func newLogin(g *globals) *cobra.Command {
	var stdin bool
	var file, ca string
	cmd := &cobra.Command{
		Use: "login API", Short: "Store a token for a provider's HTTP API",
		Long: `Store a token for a provider's HTTP API, which deploy --api then finds by the
address. It is asked whether it is one of that API's before it is stored, in a file
of mode 0600 below --home. The operator makes tokens: ` + "`provider token create`" + `.

Without login, deploy --api takes the token from APOCRYPH_API_TOKEN.`,
		Example: `  publisher login https://api.apps.example.org --token-stdin < token
  publisher login http://127.0.0.1:47080 --token-file token`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.BoolVar(&stdin, "token-stdin", false, "read the token from standard input")
	f.StringVar(&file, "token-file", "", "read the token from `FILE`")
	addAPICA(cmd, &ca)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if stdin == (file != "") {
			return cli.Usage(cmd, "give one of --token-stdin and --token-file; arguments can be seen by others")
		}
		addr, err := httpclient.ParseAddress(args[0])
		if err != nil {
			return err
		}
		token, err := g.readToken(file)
		if err != nil {
			return err
		}
		c, err := newAPIClient(addr, token, ca)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.Check(cmd.Context()); err != nil {
			return fmt.Errorf("checking the token: %w", err)
		}
		st, err := g.state()
		if err != nil {
			return err
		}
		if err := st.SetToken(addr.String(), token); err != nil {
			return err
		}
		g.app.Result(struct {
			API string `json:"api"`
		}{addr.String()})
		fmt.Fprintf(g.app.Stderr, "the token for %s is stored\n", cli.Clean(addr.String()))
		return nil
	}
	return cmd
}

func newLogout(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "logout API", Short: "Forget the token for a provider's HTTP API",
		Long: `Forget the token for a provider's HTTP API. It is not revoked: the operator does
that, with ` + "`provider token revoke`" + `.`,
		Example: "  publisher logout https://api.apps.example.org",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			addr, err := httpclient.ParseAddress(args[0])
			if err != nil {
				return err
			}
			st, err := g.state()
			if err != nil {
				return err
			}
			if err := st.RemoveToken(addr.String()); err != nil {
				return err
			}
			g.app.Result(struct {
				API string `json:"api"`
			}{addr.String()})
			fmt.Fprintf(g.app.Stderr, "the token for %s is forgotten; it is not revoked\n", cli.Clean(addr.String()))
			return nil
		},
	}
}

// readToken reads a token from a file, or from standard input where it is "".
func (g *globals) readToken(file string) (string, error) {
	var b []byte
	var err error
	if file != "" {
		b, err = readFile(file, "token", "`provider token create` makes one")
	} else if b, err = io.ReadAll(io.LimitReader(g.app.Stdin, httpclient.MaxToken+2)); err != nil {
		err = status.Wrap(err, status.InvalidArgument, "token.read", "reading the token")
	}
	if err != nil {
		return "", err
	}
	token := string(bytes.TrimRight(b, "\r\n"))
	return token, httpclient.CheckToken(token)
}
