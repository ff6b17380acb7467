package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"apocryph/attest/policy"
	"apocryph/cmd/internal/cli"
	"apocryph/manifest"
	"apocryph/manifest/offer"
	"apocryph/publisher"
)

// changeFields is one change in --json. Old and New are left out where nobody is
// shown them.
type changeFields struct {
	Field string `json:"field"`
	Kind  string `json:"kind"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

type offerFields struct {
	Asset         string      `json:"asset"`
	TotalPerHour  string      `json:"total_per_hour"`
	TotalPerMonth string      `json:"total_per_month"`
	Resources     []offerLine `json:"resources"`
	NotAfter      time.Time   `json:"not_after"`
}

// printDryRun is the outcome of deploy --dry-run.
func (g *globals) printDryRun(d *publisher.DryRunResult) error {
	out := struct {
		DryRun   bool                 `json:"dry_run"`
		App      string               `json:"app"`
		Provider publisher.ProviderID `json:"provider"`
		Replaces uint64               `json:"replaces"`
		Changes  []changeFields       `json:"changes"`
		More     uint32               `json:"more,omitempty"`
		Offer    offerFields          `json:"offer"`
		Verdict  string               `json:"verdict"`
		Warnings []string             `json:"warnings"`
	}{
		DryRun: true, App: d.Name, Provider: d.Provider.ID, Replaces: d.Replaces, Changes: []changeFields{}, More: d.More,
		Offer: offerFields{
			Asset: d.Offer.Asset, TotalPerHour: d.Offer.TotalPerHour, TotalPerMonth: offer.PerMonth(d.Offer.TotalPerHour),
			Resources: []offerLine{}, NotAfter: d.Offer.NotAfter,
		},
		Verdict: policy.SummaryLine(d.Verdict), Warnings: append([]string{}, d.Verdict.Warnings...),
	}
	for _, c := range d.Changes {
		out.Changes = append(out.Changes, changeFields{c.Field, string(c.Kind), c.Old, c.New})
	}
	for _, r := range d.Offer.Resources {
		out.Offer.Resources = append(out.Offer.Resources, offerLine(r))
	}
	g.app.Result(out)
	for _, w := range d.Verdict.Warnings {
		fmt.Fprintf(g.app.Stderr, "warning: %s\n", cli.Clean(w))
	}
	if g.app.JSON {
		return nil
	}
	switch {
	case d.Replaces == 0:
		fmt.Fprintf(g.app.Stdout, "%s would be new at %s:\n", cli.Clean(d.Name), d.Provider.ID)
	case len(d.Changes) == 0 && d.More == 0:
		fmt.Fprintf(g.app.Stdout, "nothing in the manifest would change: the deploy would replace revision %d of %s with the same\n", d.Replaces, cli.Clean(d.Name))
	default:
		fmt.Fprintf(g.app.Stdout, "revision %d of %s would be replaced:\n", d.Replaces, cli.Clean(d.Name))
	}
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	for _, c := range d.Changes {
		fmt.Fprintf(w, "  %s\t%s\n", cli.Clean(c.Field), cli.Clean(changeText(c)))
	}
	if d.More > 0 {
		fmt.Fprintf(w, "  and %d more\n", d.More)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	price := "free"
	if d.Offer.Asset != "" {
		price = fmt.Sprintf("%s %s per hour, %s per month", d.Offer.TotalPerHour, d.Offer.Asset, offer.PerMonth(d.Offer.TotalPerHour))
	}
	_, err := fmt.Fprintf(g.app.Stdout, "price: %s\n", cli.Clean(price))
	return err
}

// changeText is a change without its field: what was it, and what will it be.
func changeText(c manifest.Change) string {
	switch {
	case c.Kind == manifest.Changed && c.Old+c.New != "":
		return c.Old + " -> " + c.New
	case c.Kind == manifest.Added && c.New != "":
		return "added: " + c.New
	case c.Kind == manifest.Removed && c.Old != "":
		return "removed: " + c.Old
	}
	return string(c.Kind)
}
