package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher/publisherd"
)

func newPolicy(g *globals) *cobra.Command {
	cmd := cli.Group(&cobra.Command{
		Use: "policy", Short: "Write and check policy files",
		Example: "  publisher policy init --from PROVIDER -o policy.yaml\n  publisher policy explain policy.yaml",
	})
	cmd.AddCommand(newPolicyInit(g), newPolicyLint(g), newPolicyExplain(g))
	return cmd
}

func newPolicyInit(g *globals) *cobra.Command {
	var from []string
	var out string
	cmd := &cobra.Command{
		Use: "init", Short: "Write a policy: the built-in one, or what providers show", Args: cli.Args(cobra.NoArgs),
		Long: `Write a policy. Without --from it is the built-in strict one. With --from it pins
what the providers show now and is marked unverified: compare the values with a
source that you trust, then remove the mark.`,
		Example: "  publisher policy init --from /ip4/192.0.2.7/tcp/4021/p2p/12D3… -o policy.yaml",
	}
	cmd.Flags().StringArrayVar(&from, "from", nil, "provider to take values from (repeatable)")
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write (default: standard output)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(from) == 0 {
			return g.writePolicy(policy.Builtin(), out)
		}
		return g.online(cmd.Context(), false, func(ctx context.Context, s *publisherd.Session) error {
			var results []*attest.Result
			for _, provider := range from {
				t, err := publisherd.ParseTarget(provider)
				if err != nil {
					return err
				}
				r, err := s.Look(ctx, t)
				if err != nil {
					return fmt.Errorf("looking at %s: %w", t.ID, err)
				}
				results = append(results, r)
			}
			return g.writePolicy(policy.FromResult(results), out)
		})
	}
	return cmd
}

func (g *globals) writePolicy(p *policy.Policy, out string) error {
	b := p.Marshal()
	if out == "" {
		_, err := g.app.Stdout.Write(b)
		return err
	}
	if err := writeNew(out, b); err != nil {
		return err
	}
	if p.Unverified {
		fmt.Fprintf(g.app.Stderr, "wrote %s; it is unverified: it accepts what the provider showed\n", out)
	} else {
		fmt.Fprintf(g.app.Stderr, "wrote %s\n", out)
	}
	if g.app.JSON {
		digest := p.Digest()
		g.app.PrintJSON(map[string]any{"event": "result", "file": out, "digest": fmt.Sprintf("sha256:%x", digest), "unverified": p.Unverified})
	}
	return nil
}

func parsePolicyFile(path string) (*policy.Policy, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, status.Wrap(err, status.InvalidArgument, "policy.read", "reading the policy")
	}
	p, err := policy.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func newPolicyLint(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE", Short: "Refuse a policy that proves nothing", Args: cli.Args(cobra.ExactArgs(1)),
		Example: "  publisher policy lint policy.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := parsePolicyFile(args[0])
			if err != nil {
				return err
			}
			var bad int
			for _, f := range policy.Lint(p) {
				if f.Severity == policy.SeverityError {
					bad++
				}
				if g.app.JSON {
					g.app.PrintJSON(map[string]any{"event": "finding", "severity": f.Severity, "field": f.Field, "line": f.Line, "text": f.Text})
				} else {
					fmt.Fprintln(g.app.Stdout, f)
				}
			}
			if g.app.JSON {
				g.app.PrintJSON(map[string]any{"event": "result", "errors": bad})
			}
			if bad > 0 {
				return status.New(status.InvalidArgument, "policy.lint", "the policy has %d errors", bad)
			}
			return nil
		},
	}
}

func newPolicyExplain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "explain FILE", Short: "Say line by line what a policy demands", Args: cli.Args(cobra.ExactArgs(1)),
		Example: "  publisher policy explain policy.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := parsePolicyFile(args[0])
			if err != nil {
				return err
			}
			lines := policy.Explain(p)
			if g.app.JSON {
				g.app.PrintJSON(map[string]any{"event": "result", "demands": lines})
				return nil
			}
			for _, l := range lines {
				fmt.Fprintln(g.app.Stdout, l)
			}
			return nil
		},
	}
}
