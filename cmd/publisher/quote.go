package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/manifest/offer"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

func newQuote(g *globals) *cobra.Command {
	var policyPath string
	cmd := &cobra.Command{
		Use: "quote PROVIDER APP.YAML", Short: "Ask a provider what an app would cost there",
		Long: `Ask a provider what an app would cost there. The offer is signed by the key in its
evidence; whether that evidence passes the policy is said beside it. Exit code 15
when the provider cannot hold the app.`,
		Example: "  publisher quote 12D3KooW… app.yaml --policy policy.yaml",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return cli.YAMLFiles(cmd, args, word)
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	addPolicy(cmd, &policyPath)
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
			o, verdict, err := s.QuoteOnly(ctx, t, p, offer.NeedsOf(m))
			if err != nil {
				return err
			}
			g.setOffer(t, o, verdict)
			if !g.app.JSON {
				if err := g.printOffer(o, verdict); err != nil {
					return err
				}
			}
			return o.Short()
		})
	}
	return cmd
}

type offerLine struct {
	Resource  string `json:"resource"`
	Requested string `json:"requested"`
	Available string `json:"available"`
	Offered   bool   `json:"offered"`
	Reason    string `json:"reason,omitempty"`
}

func (g *globals) setOffer(t publisher.Target, o offer.Offer, v attest.Verdict) {
	out := struct {
		Provider       publisher.ProviderID `json:"provider"`
		Available      bool                 `json:"available"`
		Resources      []offerLine          `json:"resources"`
		Asset          string               `json:"asset"`
		TotalPerHour   string               `json:"total_per_hour"`
		TotalPerMonth  string               `json:"total_per_month"`
		PaymentSchemes []string             `json:"payment_schemes"`
		PaymentAddress string               `json:"payment_address"`
		NotAfter       time.Time            `json:"not_after"`
		Affirmed       bool                 `json:"affirmed"`
		Verdict        string               `json:"verdict"`
	}{
		Provider: t.ID, Available: o.Available, Resources: []offerLine{}, Asset: o.Asset, TotalPerHour: o.TotalPerHour,
		TotalPerMonth: offer.PerMonth(o.TotalPerHour), PaymentSchemes: append([]string{}, o.PaymentSchemes...),
		PaymentAddress: o.PaymentAddress, NotAfter: o.NotAfter, Affirmed: v.Affirmed, Verdict: policy.SummaryLine(v),
	}
	for _, r := range o.Resources {
		out.Resources = append(out.Resources, offerLine(r))
	}
	g.app.Result(out)
}

func (g *globals) printOffer(o offer.Offer, v attest.Verdict) error {
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "RESOURCE\tREQUESTED\tAVAILABLE\tOFFERED")
	for _, r := range o.Resources {
		offered := "yes"
		if !r.Offered {
			offered = "no: " + r.Reason
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", cli.Clean(r.Resource), cli.Clean(r.Requested), cli.Clean(r.Available), cli.Clean(offered))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	price := "free"
	if o.Asset != "" {
		price = fmt.Sprintf("%s %s per hour, %s per month", o.TotalPerHour, o.Asset, offer.PerMonth(o.TotalPerHour))
	}
	_, err := fmt.Fprintf(g.app.Stdout, "\nprice    %s\nverdict  %s\n", cli.Clean(price), cli.Clean(policy.SummaryLine(v)))
	return err
}
