package main

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/manifest/offer"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// standardNeeds is the app that adverts are compared by.
const standardNeeds = "1 core and 1 GiB"

func newProviders(g *globals) *cobra.Command {
	var q publisher.Query
	var maxPrice string
	cmd := &cobra.Command{
		Use: "providers", Short: "Find providers and list their adverts", Args: cli.Args(cobra.NoArgs),
		Long: `Find providers through the DHT, on the local network and in the cache of past
adverts, and list them. An advert is signed by the provider, which proves who
made it and nothing about the machine: "publisher attest" does. Prices are per
hour for ` + standardNeeds + `.`,
		Example: "  publisher providers --bootstrap /ip4/192.0.2.7/tcp/4021/p2p/12D3…\n  publisher providers --tee sev-snp --max-price 0.05",
	}
	f := cmd.Flags()
	f.StringVar(&q.TEE, "tee", "", "only with this evidence: sev-snp, tdx, tpm2, soft")
	f.StringVar(&q.Region, "region", "", "only in this region")
	f.StringVar(&maxPrice, "max-price", "", "only up to this price per hour for "+standardNeeds)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var limit *big.Rat
		if maxPrice != "" {
			var ok bool
			if limit, ok = new(big.Rat).SetString(maxPrice); !ok || limit.Sign() < 0 {
				return cli.Usage(cmd, "--max-price is %q, want a decimal number", maxPrice)
			}
		}
		return g.online(cmd.Context(), false, func(ctx context.Context, s *publisherd.Session) error {
			found, err := s.Find(ctx, q)
			if err != nil {
				return err
			}
			var kept []publisher.Candidate
			for _, c := range found {
				if limit == nil || standardPrice(c).Cmp(limit) <= 0 {
					kept = append(kept, c)
				}
			}
			return g.printCandidates(kept)
		})
	}
	return cmd
}

// standardPrice is what the standard app costs per hour by the advert.
func standardPrice(c publisher.Candidate) *big.Rat {
	total := new(big.Rat)
	for _, p := range c.Prices {
		if p.Resource != "cpu" && p.Resource != "memory" {
			continue
		}
		if r, ok := new(big.Rat).SetString(p.PerUnitSecond); ok {
			total.Add(total, r.Mul(r, big.NewRat(3600, 1)))
		}
	}
	return total
}

func priceText(c publisher.Candidate) string {
	if c.Asset == "" {
		return "free"
	}
	return offer.Decimal(standardPrice(c)) + " " + c.Asset
}

func (g *globals) printCandidates(found []publisher.Candidate) error {
	if g.app.JSON {
		for _, c := range found {
			g.app.PrintJSON(map[string]any{
				"event": "provider", "id": c.ID, "addrs": c.Addrs, "tee": c.TEE, "region": c.Region, "platform": c.Platform,
				"cpu_millis": c.CPUMillis, "memory_bytes": c.Memory, "disk_bytes": c.Disk, "gpus": c.GPUs,
				"asset": c.Asset, "price_per_hour": offer.Decimal(standardPrice(c)), "software": c.Software, "not_after": c.NotAfter,
			})
		}
		g.app.PrintJSON(map[string]any{"event": "result", "providers": len(found)})
		return nil
	}
	if len(found) == 0 {
		fmt.Fprintln(g.app.Stderr, "no provider was found; --bootstrap names a DHT node to ask")
		return nil
	}
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PROVIDER\tTEE\tREGION\tFREE CPU\tFREE MEMORY\tPRICE/H\tSOFTWARE")
	for _, c := range found {
		tee := c.TEE
		if tee == "soft" {
			tee = "soft (NOT SECURE)"
		}
		region := c.Region
		if region == "" {
			region = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\t%s\t%s\n", c.ID, tee, region, float64(c.CPUMillis)/1000,
			strings.ReplaceAll(cli.Size(int64(c.Memory)), " ", ""), priceText(c), c.Software)
	}
	return w.Flush()
}
