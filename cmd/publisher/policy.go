package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher/publisherd"
)

func newPolicy(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy", Short: "Write, check and explain policy files",
		Long: "Write, check and explain policy files: what a provider must prove before it gets an app.",
		Example: `  publisher policy init --from PROVIDER -o policy.yaml
  publisher policy lint policy.yaml
  publisher policy explain policy.yaml
  publisher policy diff policy.yaml.old policy.yaml
  publisher policy keygen -o policy.key
  publisher policy sign policy.yaml --key policy.key`,
	}
	cmd.AddCommand(newPolicyInit(g), newPolicyLint(g), newPolicyExplain(g), newPolicyDiff(g), newPolicyKeygen(g), newPolicySign(g))
	return cmd
}

func newPolicyInit(g *globals) *cobra.Command {
	var from []string
	var out string
	var self bool
	cmd := &cobra.Command{
		Use: "init", Short: "Write a policy: the built-in one, or what providers show",
		Long: `Write a policy. Without --from it is the built-in strict one. With --from it pins
what the providers show now and is marked unverified: compare the values with a
source that you trust, then remove the mark.`,
		Example: `  publisher policy init -o policy.yaml
  publisher policy init --from /ip4/192.0.2.7/tcp/4021/p2p/12D3KooW… -o policy.yaml
  publisher policy init --self --tee tpm2 -o publishers.yaml`,
	}
	cmd.Flags().StringArrayVar(&from, "from", nil, "`PROVIDER` to take values from, repeatable")
	cmd.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write, which must not exist (default: standard output)")
	cmd.Flags().BoolVar(&self, "self", false, "take the values of this machine's own device (--tee), for a provider that demands evidence of publishers")
	g.addDevice(cmd)
	cmd.MarkFlagsMutuallyExclusive("self", "from")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if self {
			n, err := g.node()
			if err != nil {
				return err
			}
			r, err := n.ShowOwn(cmd.Context())
			if err != nil {
				return fmt.Errorf("looking at this machine: %w", err)
			}
			return g.writePolicy(policy.FromResult([]*attest.Result{r}), out)
		}
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
	result := struct {
		File       string `json:"file,omitempty"`
		Policy     string `json:"policy,omitempty"`
		Digest     string `json:"digest"`
		Unverified bool   `json:"unverified"`
	}{File: out, Digest: fmt.Sprintf("sha256:%x", p.Digest()), Unverified: p.Unverified}
	switch {
	case out != "":
		if err := writeNew(out, b, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(g.app.Stderr, "wrote %s\n", cli.Clean(out))
	case g.app.JSON:
		result.Policy = string(b)
	default:
		if _, err := g.app.Stdout.Write(b); err != nil {
			return err
		}
	}
	if p.Unverified {
		fmt.Fprintln(g.app.Stderr, "warning: it is unverified: it accepts what the provider showed; compare the values with a source that you trust")
		for _, f := range policy.Lint(p) {
			// What is said of the values, not of how they came to be.
			if strings.HasPrefix(f.Field, "reference[") {
				fmt.Fprintf(g.app.Stderr, "%s\n", f)
			}
		}
	}
	g.app.Result(result)
	return nil
}

func newPolicyLint(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE", Short: "Refuse a policy that proves nothing",
		Long: `Refuse a policy that proves nothing, and warn of what proves little. Exit code 10
when there is an error.`,
		Example:           "  publisher policy lint policy.yaml",
		ValidArgsFunction: cli.YAMLFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			p, _, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			count := map[policy.Severity]int{}
			for _, f := range policy.Lint(p) {
				count[f.Severity]++
				if !g.app.JSON {
					fmt.Fprintln(g.app.Stdout, f)
					continue
				}
				g.app.Emit("finding", struct {
					Severity policy.Severity `json:"severity"`
					Field    string          `json:"field"`
					Line     int             `json:"line,omitempty"`
					Text     string          `json:"text"`
				}{f.Severity, f.Field, f.Line, f.Text})
			}
			errs, warnings := count[policy.SeverityError], count[policy.SeverityWarning]
			g.app.Result(struct {
				Errors   int `json:"errors"`
				Warnings int `json:"warnings"`
			}{errs, warnings})
			if errs > 0 {
				return status.New(status.InvalidArgument, "policy.lint", "the policy has %s", cli.Count(errs, "error"))
			}
			fmt.Fprintf(g.app.Stderr, "no errors, %s\n", cli.Count(warnings, "warning"))
			return nil
		},
	}
}

func newPolicyExplain(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "explain FILE", Short: "Say line by line what a policy demands",
		Example:           "  publisher policy explain policy.yaml",
		ValidArgsFunction: cli.YAMLFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			p, _, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			lines := policy.Explain(p)
			g.app.Result(struct {
				Demands []string `json:"demands"`
			}{lines})
			if g.app.JSON {
				return nil
			}
			for _, l := range lines {
				fmt.Fprintln(g.app.Stdout, l)
			}
			return nil
		},
	}
}

func newPolicyDiff(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "diff OLD NEW", Short: "Say which demands two policies do not share",
		Long: `Say which demands two policies do not share, in words: what only OLD demands has a
minus in front, what only NEW demands a plus. Comments, order and places in the
file make no difference.`,
		Example:           "  publisher policy diff policy.yaml.old policy.yaml",
		ValidArgsFunction: cli.YAMLFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			before, _, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			after, _, err := readPolicy(args[1])
			if err != nil {
				return err
			}
			changes := policy.Diff(before, after)
			g.app.Result(struct {
				Changes []string `json:"changes"`
			}{append([]string{}, changes...)})
			if g.app.JSON {
				return nil
			}
			for _, c := range changes {
				fmt.Fprintln(g.app.Stdout, c)
			}
			return nil
		},
	}
}
