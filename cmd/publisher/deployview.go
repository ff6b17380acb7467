package main

import (
	"fmt"
	"time"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// jsonInterval is the least time between two lines of --json for one step's bytes.
const jsonInterval = 250 * time.Millisecond

// deployView shows a deploy as it happens. Its events come one at a time.
type deployView struct {
	app  *cli.App
	bars *cli.Progress
	// told is when the bytes of a step were last written with --json.
	told map[string]time.Time
	// step is the last step, for people; sent is set when the provider has
	// accepted the order.
	step string
	sent bool
	// stages are the provider's that report bytes: true while one is under way,
	// false when its end was shown.
	stages map[string]bool
	// building is the last stage of a build.
	building string
}

func newDeployView(app *cli.App) *deployView {
	return &deployView{app: app, bars: cli.NewProgress(app.Stderr), told: map[string]time.Time{}, stages: map[string]bool{}, step: "start"}
}

func (v *deployView) close() { v.bars.Close() }

// ended is the error of a deploy that was given up. What the provider has
// accepted by then goes on without us.
func (v *deployView) ended(e *status.Error, app string) *status.Error {
	if !v.sent {
		return e
	}
	return e.WithHint("the provider goes on with what it accepted: `publisher status %s` shows it, `publisher delete %s` ends it", app, app)
}

func (v *deployView) event(e publisher.Event) {
	if v.app.JSON {
		v.print(e)
	}
	switch e.Event {
	case "resolve":
		v.line("image", e.Image+": "+e.Text)
	case "seal":
		v.step = "encrypting the image of " + e.Image
		if v.counted("encrypt   "+e.Image, e) {
			v.line("encrypted", e.Image+": "+e.Text)
		}
	case "find":
		v.line("find", e.Text)
	case "attest":
		v.line("attest", e.Provider)
	case "verdict":
		v.line("verdict", e.Text)
	case "build":
		v.build(e)
	case "built":
		v.line("built", e.Text)
	case "quote":
		v.line("price", e.Text)
	case "publish":
		v.step = "publishing the image of " + e.Image
		if v.counted("publish   "+e.Image, e) {
			v.line("publish", e.Image+": "+e.Text)
		}
	case "provision":
		v.provision(e)
	case "answer":
		v.line("answer", e.Text)
	}
}

// build shows a stage of the provider's build, or a line of its log.
func (v *deployView) build(e publisher.Event) {
	if e.Stage == "" {
		v.bars.Line("%-9s | %s", "build", e.Text)
		return
	}
	if e.Stage != v.building {
		v.building = e.Stage
		v.line("build", e.Stage)
	}
}

// counted shows the bytes of a step, and reports whether it has ended.
func (v *deployView) counted(name string, e publisher.Event) bool {
	if e.Final {
		v.bars.End(name)
	} else {
		v.bars.Bytes(name, e.Done, e.Total)
	}
	return e.Final
}

// line writes a step in a column of its own.
func (v *deployView) line(name, text string) {
	v.step = name + " " + text
	v.bars.Line("%-9s %s", name, text)
}

// print writes an event for --json, and not each of those that only count bytes.
func (v *deployView) print(e publisher.Event) {
	if e.Total > 0 && !e.Final {
		step := e.Event + e.Image + e.Stage
		if time.Since(v.told[step]) < jsonInterval {
			return
		}
		v.told[step] = time.Now()
	}
	v.app.PrintJSON(e)
}

// doneStages say what a stage of the provider has done when its bytes are through.
var doneStages = map[string]string{"fetching": "fetched", "unpacking": "unpacked"}

// provision shows a stage of the provider. Stages overlap: layers are unpacked
// while others are fetched.
func (v *deployView) provision(e publisher.Event) {
	if e.Stage != "fetching" && e.Stage != "unpacking" {
		// An update is fetched and unpacked before it is accepted.
		v.sent = true
	}
	name := "provider  " + e.Stage
	switch underWay, known := v.stages[e.Stage]; {
	case e.Total == 0:
		for stage, open := range v.stages {
			if open {
				v.bars.End("provider  " + stage)
				v.stages[stage] = false
			}
		}
		v.line("provider", e.Stage)
	case !e.Final:
		v.step = "provider " + e.Stage
		v.stages[e.Stage] = true
		v.bars.Bytes(name, e.Done, e.Total)
	case underWay || !known:
		v.bars.End(name)
		v.stages[e.Stage] = false
		if !underWay {
			e.Rate = 0 // it was there already: the rate means nothing
		}
		v.line("provider", doneText(e))
	}
}

func doneText(e publisher.Event) string {
	done := doneStages[e.Stage]
	switch {
	case done == "":
		return e.Stage
	case e.Stage == "fetching" && e.Source == "local":
		return "has the image already"
	case e.Rate > 0:
		return fmt.Sprintf("%s %s at %s/s", done, cli.Size(e.Total), cli.Size(int64(min(e.Rate, 1<<62))))
	}
	return done + " " + cli.Size(e.Total)
}
