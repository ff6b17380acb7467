package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"apocryph/attest/client"
	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
)

type reportImage struct {
	Container string `json:"container"`
	ImageID   string `json:"image_id"`
	CID       string `json:"cid"`
}

// setReport sets the result of --json: the verdict as attest has it, and what
// runs. What runs is there only where it was affirmed.
func (g *globals) setReport(r *client.Report) {
	type running struct {
		Pod       string        `json:"pod_id"`
		Revision  uint64        `json:"revision"`
		Manifest  string        `json:"manifest_digest"`
		Images    []reportImage `json:"images"`
		URLs      []string      `json:"urls"`
		Since     time.Time     `json:"since"`
		Signed    time.Time     `json:"signed"`
		PinnedKey string        `json:"tls_key,omitempty"`
		Builds    []reportBuild `json:"builds"`
	}
	out := struct {
		verdictResult
		URL     string     `json:"url,omitempty"`
		Host    string     `json:"host,omitempty"`
		From    *time.Time `json:"valid_from,omitempty"`
		Until   *time.Time `json:"valid_until,omitempty"`
		Running *running   `json:"running,omitempty"`
	}{verdictResult: newVerdictResult("", r.Verdict), URL: r.URL, Host: r.Host}
	if r.Shown != nil {
		out.From, out.Until = &r.Shown.IssuedAt, &r.Shown.ExpiresAt
	}
	if r.Verdict.Affirmed {
		p := r.Receipt
		out.Provider = publisher.ProviderID(p.Provider)
		out.Running = &running{
			Pod: p.PodID, Revision: p.Revision, Manifest: p.Manifest.String(), Images: []reportImage{}, URLs: []string{}, Builds: buildsOf(r),
			Since: p.Started, Signed: p.Issued, PinnedKey: pinned(r.TLSKey),
		}
		for _, i := range p.Images {
			out.Running.Images = append(out.Running.Images, reportImage{i.Container, i.ImageID, i.CID})
		}
		for _, e := range p.Endpoints {
			out.Running.URLs = append(out.Running.URLs, e.URL)
		}
	}
	g.app.Result(out)
}

// pinned is a key in the form that curl's --pinnedpubkey takes.
func pinned(key []byte) string {
	if len(key) == 0 {
		return ""
	}
	return "sha256//" + base64.StdEncoding.EncodeToString(key)
}

func (g *globals) printReport(r *client.Report, explain bool) error {
	g.printVerdict(r.Verdict, explain)
	if g.app.JSON || !r.Verdict.Affirmed {
		return nil
	}
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, cli.Clean(value)) }
	fmt.Fprintln(w)
	p := r.Receipt
	if r.Host != "" {
		line("app", r.Host)
	}
	for _, e := range p.Endpoints {
		line("serves", e.URL)
	}
	line("provider", p.Provider)
	line("pod", fmt.Sprintf("%s, revision %d", p.PodID, p.Revision))
	line("manifest", p.Manifest.String())
	for _, i := range p.Images {
		line("image", fmt.Sprintf("%s (%s), /ipfs/%s", i.ImageID, i.Container, i.CID))
	}
	line("since", p.Started.UTC().Format(time.RFC3339))
	line("receipt of", p.Issued.UTC().Format(time.RFC3339))
	if key := pinned(r.TLSKey); key != "" {
		line("tls key", key)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return g.printChain(r)
}

// hint adds what the user can do. Only the check that decided says what that is.
func (f *verifyFlags) hint(r *client.Report, err error, url bool) error {
	var denied *client.DeniedError
	if !errors.As(err, &denied) {
		return err
	}
	var e *status.Error
	if !errors.As(denied, &e) {
		return err
	}
	c, _ := r.Verdict.Failed()
	switch c.Code {
	case "ATT-023":
		if r.Shown == nil || url {
			break
		}
		from, until := r.Shown.IssuedAt.UTC().Format(time.RFC3339), r.Shown.ExpiresAt.UTC().Format(time.RFC3339)
		return e.WithHint("it was valid from %s until %s; --at %s judges it as of then", from, until, from)
	case "ATT-092":
		if !url {
			return e.WithHint("a TPM's quote in a file needs its attestation key: pin it in the policy, or let this machine see it first (`publisher verify URL` or `publisher attest PROVIDER`, good for a day)")
		}
	case "ATT-160":
		return e.WithHint("without --policy the one that affirmed then counts; or add --evidence FILE to appraise anew")
	case "ATT-031", "ATT-070", "ATT-071", "ATT-091", "ATT-150", "ATT-151":
		if f.policy == "" {
			return withPolicyHint(e, "")
		}
	}
	if f.explain {
		return e
	}
	return e.WithHint("--explain shows every check")
}
