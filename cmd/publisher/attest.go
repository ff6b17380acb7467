package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/manifest/offer"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

func newAttest(g *globals) *cobra.Command {
	var policyPath string
	var explain bool
	cmd := &cobra.Command{
		Use: "attest PROVIDER", Short: "Ask a provider for evidence and appraise it", Args: cli.Args(cobra.ExactArgs(1)),
		Long: `Ask a provider for evidence and appraise it against a policy. The verdict is one
line; --explain shows every check with what it got and wanted. Exit code 12 when
the policy does not affirm.`,
		Example: "  publisher attest /ip4/192.0.2.7/tcp/4021/p2p/12D3… --policy policy.yaml --explain",
	}
	cmd.Flags().StringVar(&policyPath, "policy", "", "policy file (default: the built-in strict one)")
	cmd.Flags().BoolVar(&explain, "explain", false, "show every check")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := publisherd.ParseTarget(args[0])
		if err != nil {
			return err
		}
		p, _, err := readPolicy(policyPath)
		if err != nil {
			return err
		}
		return g.online(cmd.Context(), false, func(ctx context.Context, s *publisherd.Session) error {
			a, err := s.Attest(ctx, t, p, attest.PurposeProvision, nil)
			if a == nil {
				return err
			}
			v := a.Verdict
			if err != nil {
				// Not authentic: the checks so far are all there is to say.
				v = attest.Verdict{}
				if a.Result != nil {
					v.Checks = a.Result.Checks
				}
			}
			g.printVerdict(t, v, explain)
			if err == nil && !v.Affirmed {
				err = notAffirmed(v)
			}
			return err
		})
	}
	return cmd
}

func notAffirmed(v attest.Verdict) error {
	c, _ := v.Failed()
	return status.New(status.Untrusted, "attest.denied", "the policy does not affirm this provider: %s %s", c.Code, c.Name).
		WithHint("--explain shows every check")
}

func (g *globals) printVerdict(t publisher.Target, v attest.Verdict, explain bool) {
	if !g.app.JSON {
		fmt.Fprintln(g.app.Stdout, policy.SummaryLine(v))
		if explain {
			fmt.Fprint(g.app.Stdout, policy.ExplainVerdict(v))
		}
		return
	}
	type check struct {
		Code   string `json:"code"`
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Anchor string `json:"anchor"`
		Got    string `json:"got,omitempty"`
		Want   string `json:"want,omitempty"`
		Policy string `json:"policy,omitempty"`
	}
	checks := []check{}
	for _, c := range v.Checks {
		checks = append(checks, check{c.Code, c.Name, c.OK, string(c.Anchor), c.Got, c.Want, c.Policy})
	}
	g.app.PrintJSON(map[string]any{
		"event": "result", "provider": t.ID, "affirmed": v.Affirmed, "level": v.Level, "platform": v.Platform,
		"verdict": policy.SummaryLine(v), "warnings": v.Warnings, "checks": checks, "expires": v.ExpiresAt,
	})
}

func newQuote(g *globals) *cobra.Command {
	var policyPath string
	cmd := &cobra.Command{
		Use: "quote PROVIDER APP.YAML", Short: "Ask a provider what an app would cost there", Args: cli.Args(cobra.ExactArgs(2)),
		Long: `Ask a provider what an app would cost there. The offer is signed by the key in its
evidence; whether that evidence passes the policy is said beside it. Exit code 15
when the provider cannot hold the app.`,
		Example: "  publisher quote 12D3… app.yaml",
	}
	cmd.Flags().StringVar(&policyPath, "policy", "", "policy file (default: the built-in strict one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, err := publisherd.ParseTarget(args[0])
		if err != nil {
			return err
		}
		m, _, err := readManifest(args[1])
		if err != nil {
			return err
		}
		p, _, err := readPolicy(policyPath)
		if err != nil {
			return err
		}
		return g.online(cmd.Context(), false, func(ctx context.Context, s *publisherd.Session) error {
			needs := offer.NeedsOf(m)
			o, verdict, err := s.QuoteOnly(ctx, t, p, needs)
			if err != nil {
				return err
			}
			if err := g.printOffer(o, verdict); err != nil {
				return err
			}
			return publisher.ShortOf(o)
		})
	}
	return cmd
}

func (g *globals) printOffer(o offer.Offer, v attest.Verdict) error {
	month := offer.PerMonth(o.TotalPerHour)
	if g.app.JSON {
		type line struct {
			Resource  string `json:"resource"`
			Requested string `json:"requested"`
			Available string `json:"available"`
			Offered   bool   `json:"offered"`
			Reason    string `json:"reason,omitempty"`
		}
		lines := []line{}
		for _, r := range o.Resources {
			lines = append(lines, line(r))
		}
		g.app.PrintJSON(map[string]any{
			"event": "result", "available": o.Available, "resources": lines, "asset": o.Asset, "total_per_hour": o.TotalPerHour,
			"total_per_month": month, "payment_schemes": o.PaymentSchemes, "payment_address": o.PaymentAddress,
			"not_after": o.NotAfter, "verdict": policy.SummaryLine(v), "affirmed": v.Affirmed,
		})
		return nil
	}
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "RESOURCE\tREQUESTED\tAVAILABLE\t")
	for _, r := range o.Resources {
		mark := "ok"
		if !r.Offered {
			mark = "short: " + r.Reason
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Resource, r.Requested, r.Available, mark)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if o.Asset == "" {
		fmt.Fprintln(g.app.Stdout, "price     free")
	} else {
		fmt.Fprintf(g.app.Stdout, "price     %s %s per hour, %s per month\n", o.TotalPerHour, o.Asset, month)
	}
	fmt.Fprintln(g.app.Stdout, "verdict   "+policy.SummaryLine(v))
	return nil
}
