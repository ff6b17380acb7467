package main

import (
	"cmp"
	"fmt"

	"apocryph/cmd/internal/cli"
	"apocryph/publisher"
	"apocryph/publisher/httpclient"
	"apocryph/publisher/state"
)

// notAttested is what a deploy over HTTP proves.
const notAttested = "not attested"

// apiView shows a deploy over HTTP in the same steps as any other.
type apiView struct {
	*deployView
	address string
	// image names the image's upload, stage is the last that was shown.
	image, stage string
	sentAll      bool
}

func newAPIView(app *cli.App, address string) *apiView {
	return &apiView{deployView: newDeployView(app), address: address}
}

func (v *apiView) warn(text string) { v.bars.Line("warning: %s", text) }

// api shows one event of the API.
func (v *apiView) api(e httpclient.Event) {
	if e.Kind == "upload" {
		v.event(publisher.Event{Event: "publish", Image: v.image, Done: e.Done, Total: e.Total})
		v.sentAll = false
		return
	}
	if !v.sentAll {
		v.sentAll = true
		if v.step == "publishing the image of "+v.image {
			v.event(publisher.Event{Event: "publish", Image: v.image, Final: true, Text: "sent to " + v.address})
		}
	}
	switch e.Kind {
	case "log":
		v.event(publisher.Event{Event: "log", Text: e.Text})
		v.line("log", e.Text)
	case "progress":
		if e.Total > 0 {
			v.stage = e.Text
			v.event(publisher.Event{Event: "provision", Stage: e.Text, Done: e.Done, Total: e.Total})
		} else {
			v.stageIs(e.Text)
		}
	default:
		if d := e.Deployment; d != nil {
			v.stageIs(cmp.Or(d.Stage, d.Status))
		}
	}
}

func (v *apiView) stageIs(stage string) {
	if stage != v.stage {
		v.stage = stage
		v.event(publisher.Event{Event: "provision", Stage: stage})
	}
}

// directFields is what the objects of deploy, list and status have in common for an
// app that is deployed over HTTP.
type directFields struct {
	App            string        `json:"app"`
	Namespace      string        `json:"namespace"`
	Environment    string        `json:"environment"`
	PodID          string        `json:"pod_id"`
	Revision       uint64        `json:"revision"`
	DeploymentID   string        `json:"deployment_id"`
	API            string        `json:"api"`
	Images         []directImage `json:"images"`
	ManifestDigest string        `json:"manifest_digest"`
	Verdict        string        `json:"verdict"`
	URL            string        `json:"url"`
	PreviewURL     string        `json:"preview_url"`
}

func directFieldsOf(a state.DirectApp) directFields {
	return directFields{
		App: a.Name, Namespace: a.Namespace, Environment: a.Environment, PodID: a.PodID, Revision: a.Revision, DeploymentID: a.DeploymentID, API: a.API,
		Images: []directImage{{a.Name, a.ImageDigest}}, ManifestDigest: a.ManifestDigest, Verdict: notAttested, URL: a.URL, PreviewURL: a.PreviewURL,
	}
}

// recordOf is what is remembered of a deployment.
func recordOf(d *httpclient.Deployment, api string) state.DirectApp {
	return state.DirectApp{
		Name: d.App, API: api, Namespace: d.Namespace, Environment: d.Environment, AppID: d.AppID, DeploymentID: d.ID, PodID: d.PodID,
		Revision: d.Revision, ImageDigest: d.ImageDigest, ManifestDigest: d.ManifestDigest, URL: d.URL, PreviewURL: d.PreviewURL,
	}
}

type directImage struct {
	Container string `json:"container"`
	ImageID   string `json:"image_id"`
}

func (g *globals) printDirect(d *httpclient.Deployment, address string) {
	for _, w := range d.Warnings {
		fmt.Fprintf(g.app.Stderr, "warning: %s\n", cli.Clean(w))
	}
	fmt.Fprintf(g.app.Stderr, "%-9s %s\n", "verdict", notAttested+": the provider is trusted, not proven (no --policy with --api)")
	g.app.Result(struct {
		directFields
		Warnings []string `json:"warnings"`
	}{directFieldsOf(recordOf(d, address)), append([]string{}, d.Warnings...)})
	if !g.app.JSON {
		fmt.Fprintln(g.app.Stdout, cli.Clean(d.URL))
	}
}

// printPlan shows what a dry run found.
func (g *globals) printPlan(p *httpclient.Plan) {
	for _, w := range p.Warnings {
		fmt.Fprintf(g.app.Stderr, "warning: %s\n", cli.Clean(w))
	}
	g.app.Result(struct {
		App         string              `json:"app"`
		Environment string              `json:"environment"`
		Operation   string              `json:"operation"`
		Changes     []httpclient.Change `json:"changes"`
		Warnings    []string            `json:"warnings"`
	}{p.App, p.Environment, p.Operation, append([]httpclient.Change{}, p.Changes...), append([]string{}, p.Warnings...)})
	if g.app.JSON {
		return
	}
	fmt.Fprintf(g.app.Stdout, "%s %s in %s\n", cli.Clean(p.Operation), cli.Clean(p.App), cli.Clean(p.Environment))
	for _, c := range p.Changes {
		fmt.Fprintf(g.app.Stdout, "  %s: %s -> %s\n", cli.Clean(c.Field), cli.Clean(cmp.Or(c.Old, "nothing")), cli.Clean(cmp.Or(c.New, "nothing")))
	}
}
