package main

import (
	"encoding/hex"
	"fmt"
	"text/tabwriter"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/cmd/internal/cli"
	"apocryph/publisher"
)

// logEvent is one record of the pod log for --json.
type logEvent struct {
	Seq        uint64 `json:"seq"`
	Type       string `json:"type"`
	Commitment string `json:"commitment"`
	// Text is what it says; absent where it is another publisher's.
	Text string `json:"text,omitempty"`
}

// setPodVerdict is setVerdict for an app, with the log in order.
func (g *globals) setPodVerdict(t publisher.Target, v attest.Verdict, app publisher.App, log []podlog.Entry) {
	out := struct {
		verdictResult
		App      string     `json:"app"`
		PodID    string     `json:"pod_id"`
		Revision uint64     `json:"revision"`
		Log      []logEvent `json:"log"`
	}{newVerdictResult(t.ID, v), app.Name, app.PodID, app.Revision, []logEvent{}}
	for _, e := range log {
		out.Log = append(out.Log, logEvent{
			e.Record.Seq, string(e.Record.Type), hex.EncodeToString(e.Record.Commitment[:]), podlog.Describe(e.Event),
		})
	}
	g.app.Result(out)
}

// printLog shows the events in order. Of other publishers' there is the kind.
func (g *globals) printLog(log []podlog.Entry) {
	if g.app.JSON || len(log) == 0 {
		return
	}
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nEVENT\tKIND\tWHAT")
	for _, e := range log {
		text := podlog.Describe(e.Event)
		if text == "" {
			text = "of another publisher"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", e.Record.Seq, cli.Clean(string(e.Record.Type)), cli.Clean(text))
	}
	_ = w.Flush() // as with every other output: who closed it does not read
}
