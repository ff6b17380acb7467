package main

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/manifest/offer"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
)

// standardNeeds is the app that adverts are compared by.
const standardNeeds = "1 core and 1 GiB"

// evidenceKinds are what --tee narrows the list to.
var evidenceKinds = []string{"sev-snp", "tdx", "tpm2", "soft"}

func newProviders(g *globals) *cobra.Command {
	var q publisher.Query
	var maxPrice string
	cmd := &cobra.Command{
		Use: "providers", Short: "Find providers and list their adverts",
		Long: `Find providers through the DHT, on the local network and in the cache of past
adverts, and list them. An advert is signed by the provider, which proves who
made it and nothing about the machine: "publisher attest" does. Prices are per
hour for ` + standardNeeds + `.`,
		Example: `  publisher providers --bootstrap /ip4/192.0.2.7/tcp/4021/p2p/12D3KooW…
  publisher providers --tee sev-snp --max-price 0.05`,
	}
	f := cmd.Flags()
	f.StringVar(&q.TEE, "tee", "", "only with evidence of this `KIND`: "+strings.Join(evidenceKinds, ", "))
	f.StringVar(&q.Region, "region", "", "only in this `REGION`")
	f.StringVar(&maxPrice, "max-price", "", "only up to this `PRICE` per hour for "+standardNeeds)
	cli.Complete(cmd, "tee", evidenceKinds...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if q.TEE != "" && !slices.Contains(evidenceKinds, q.TEE) {
			return cli.Usage(cmd, "--tee is %q, want one of %s", q.TEE, strings.Join(evidenceKinds, ", "))
		}
		if maxPrice != "" {
			if _, err := offer.CompareDecimals(maxPrice, "0"); err != nil {
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
				if maxPrice != "" {
					if order, err := offer.CompareDecimals(offer.Decimal(standardPrice(c)), maxPrice); err != nil || order > 0 {
						continue
					}
				}
				kept = append(kept, c)
			}
			g.app.Result(struct {
				Providers int `json:"providers"`
			}{len(kept)})
			return g.printCandidates(kept, len(found))
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

func (g *globals) printCandidates(kept []publisher.Candidate, found int) error {
	if g.app.JSON {
		for _, c := range kept {
			g.app.Emit("provider", advertFields(c))
		}
		return nil
	}
	if len(kept) == 0 {
		text := "no provider was found; --bootstrap names a DHT node to ask"
		if found > 0 {
			text = fmt.Sprintf("%s found, none within --max-price", cli.Count(found, "provider"))
		}
		fmt.Fprintln(g.app.Stderr, text)
		return nil
	}
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PROVIDER\tTEE\tREGION\tFREE CPU\tFREE MEMORY\tPRICE/H\tSOFTWARE")
	for _, c := range kept {
		tee := c.TEE
		if tee == "soft" {
			tee = "soft (NOT SECURE)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\t%s\t%s\n", c.ID, cli.Clean(tee), cli.OrDash(cli.Clean(c.Region)), float64(c.CPUMillis)/1000,
			cli.Size(int64(min(c.Memory, math.MaxInt64))), cli.Clean(priceText(c)), cli.OrDash(cli.Clean(c.Software)))
	}
	return w.Flush()
}

// advertFields is the object of --json for one advert.
func advertFields(c publisher.Candidate) any {
	return struct {
		ID           publisher.ProviderID `json:"id"`
		Addrs        []string             `json:"addrs"`
		TEE          string               `json:"tee"`
		Region       string               `json:"region"`
		Platform     string               `json:"platform"`
		CPUMillis    uint64               `json:"cpu_millis"`
		MemoryBytes  uint64               `json:"memory_bytes"`
		DiskBytes    uint64               `json:"disk_bytes"`
		GPUs         uint32               `json:"gpus"`
		Asset        string               `json:"asset"`
		PricePerHour string               `json:"price_per_hour"`
		Software     string               `json:"software"`
		NotAfter     time.Time            `json:"not_after"`
	}{
		c.ID, append([]string{}, c.Addrs...), c.TEE, c.Region, c.Platform, c.CPUMillis, c.Memory, c.Disk, c.GPUs,
		c.Asset, offer.Decimal(standardPrice(c)), c.Software, c.NotAfter,
	}
}
