package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"apocryph/cmd/internal/cli"
	"apocryph/manifest/detect"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
	"apocryph/publisher"
)

// upApp is one app of a list, and what became of it.
type upApp struct {
	item slug.Item
	name string
	// from and plan are set once it is planned, deployed once it runs.
	from     origin
	planned  detect.Plan
	deployed *publisher.Deployed
	err      error
}

// source is the commit that was planned, on the branch that it was found on. A
// tag stays a tag: it is what the commit has to be reachable from.
func (a *upApp) source() *publisher.Source {
	src := &publisher.Source{Slug: a.item.Slug, Path: a.item.Path}
	if strings.HasPrefix(a.from.Branch, "refs/heads/") {
		src.Slug.Ref, src.Branch = a.from.Commit.ID, a.from.Branch
	}
	return src
}

// upView shows a list of deploys.
type upView struct {
	app  *cli.App
	apps []*upApp
	// token is nil where none was given.
	token *publisher.GitCredential

	mu sync.Mutex // one line at a time
	// stages are the last ones of each app's build.
	stages map[*upApp]string
}

func newUpView(app *cli.App, items []slug.Item) *upView {
	u := &upView{app: app, stages: map[*upApp]string{}}
	for _, i := range items {
		u.apps = append(u.apps, &upApp{item: i, name: i.AppName()})
	}
	return u
}

func (u *upView) plan(ctx context.Context, a *upApp) error {
	token := u.tokenFor(a.item.Slug)
	f, err := fetch(ctx, a.item.Slug, "", a.item.Path, token)
	if err != nil {
		return withTokenHint(err, a.item.Slug, token)
	}
	a.from = f.origin
	a.planned, err = detect.Detect(f.tree, detect.Options{})
	return errors.Join(err, f.close())
}

// tokenFor is nil for a repository of a disk.
func (u *upView) tokenFor(s slug.Slug) *publisher.GitCredential {
	if s.Host == slug.File {
		return nil
	}
	return u.token
}

// upFields is one app in --json.
type upFields struct {
	Slug   string `json:"slug"`
	App    string `json:"app"`
	Path   string `json:"path,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Status is "planned", "running" or "failed".
	Status   string   `json:"status"`
	Runtime  string   `json:"runtime,omitempty"`
	Argv     []string `json:"argv,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	URL      string   `json:"url,omitempty"`
	Revision uint64   `json:"revision,omitempty"`
	// Exit is the exit code that deploy would have had.
	Exit   int    `json:"exit"`
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (a *upApp) fields() upFields {
	f := upFields{
		Slug: a.item.Slug.String(), App: a.name, Path: a.item.Path, Commit: a.from.Commit.ID, Status: "planned",
		Runtime: string(a.planned.Runtime), Argv: a.planned.Argv, Warnings: a.planned.Warnings,
	}
	if a.deployed != nil {
		f.Status, f.URL, f.Revision = "running", a.deployed.App.URL, a.deployed.App.Revision
	}
	if a.err != nil {
		public := status.Public(a.err)
		f.Status, f.Exit, f.Reason, f.Error = "failed", status.ExitCode(a.err), public.Reason, a.err.Error()
	}
	return f
}

// printPlans shows what would be built.
func (u *upView) printPlans() {
	for _, a := range u.apps {
		f := a.fields()
		switch {
		case u.app.JSON:
			u.app.Emit("plan", f)
		case a.err != nil:
			fmt.Fprintf(u.app.Stderr, "plan      %s: error: %s\n", a.name, cli.Clean(f.Error))
		default:
			fmt.Fprintf(u.app.Stderr, "plan      %s: %s of %s, %s, %s\n", a.name, short(f.Commit), cli.Clean(f.Slug), f.Runtime, cli.Clean(fmt.Sprintf("%q", f.Argv)))
			for _, w := range f.Warnings {
				fmt.Fprintf(u.app.Stderr, "warning: %s: %s\n", a.name, cli.Clean(w))
			}
		}
	}
}

// event shows a step of one app. Bytes are not counted: several apps would share the bar.
func (u *upView) event(a *upApp, e publisher.Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.app.JSON {
		if e.Total == 0 || e.Final {
			u.app.PrintJSON(struct {
				App string `json:"app"`
				publisher.Event
			}{a.name, e})
		}
		return
	}
	text := e.Text
	switch e.Event {
	case "build":
		if e.Stage == "" || e.Stage == u.stages[a] {
			return
		}
		u.stages[a], text = e.Stage, e.Stage
	case "provision":
		if e.Total > 0 {
			return
		}
		text = e.Stage
	case "attest":
		text = e.Provider
	case "verdict", "built", "quote", "answer", "find":
	default:
		return
	}
	fmt.Fprintf(u.app.Stderr, "%-9s %s: %s\n", e.Event, a.name, cli.Clean(text))
}

// gravest is the order in which failures decide the exit code.
var gravest = []status.Code{
	status.Untrusted, status.PermissionDenied, status.Unauthenticated, status.InvalidArgument, status.AppFailed, status.Conflict, status.NotFound,
	status.Unimplemented, status.ResourceExhausted, status.DeadlineExceeded, status.Unavailable,
}

// end prints the table, and returns the error that decides the exit code.
func (u *upView) end(ctx context.Context, dry bool) error {
	failed, code := 0, status.Internal
	rank := len(gravest)
	for _, a := range u.apps {
		if a.err == nil {
			continue
		}
		failed++
		if n := slices.Index(gravest, status.CodeOf(a.err)); n >= 0 && n < rank {
			rank, code = n, gravest[n]
		}
	}
	u.app.Result(struct {
		Apps   int `json:"apps"`
		Failed int `json:"failed"`
	}{len(u.apps), failed})
	u.printTable()
	switch {
	case cli.Interrupted(ctx):
		return cli.ErrInterrupted().WithHint("apps that the provider has accepted go on: `publisher list` shows them")
	case failed == 0:
		return nil
	case dry:
		return status.New(code, "up.failed", "%d of %d apps cannot be planned", failed, len(u.apps))
	}
	return status.New(code, "up.failed", "%d of %d apps were not deployed", failed, len(u.apps))
}

func (u *upView) printTable() {
	if u.app.JSON {
		for _, a := range u.apps {
			u.app.Emit("app", a.fields())
		}
		return
	}
	w := tabwriter.NewWriter(u.app.Stdout, 0, 8, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "SLUG\tAPP\tCOMMIT\tSTATUS\tURL\tERROR")
	for _, a := range u.apps {
		f := a.fields()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", cli.Clean(f.Slug), f.App, cli.OrDash(short(f.Commit)), f.Status, cli.OrDash(cli.Clean(f.URL)), cli.OrDash(cli.Clean(f.Error)))
	}
}
