package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"apocryph/cmd/internal/cli"
	"apocryph/proto/status"
	"apocryph/publisher"
	"apocryph/publisher/publisherd"
	"apocryph/publisher/state"
)

// optionalTarget reads --provider.
func optionalTarget(s string) (*publisher.Target, error) {
	if s == "" {
		return nil, nil
	}
	t, err := publisherd.ParseTarget(s)
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// at runs use for a deployed app, connected to the provider that has it.
func (g *globals) at(cmd *cobra.Command, name, provider string, use func(context.Context, *publisherd.Session, publisher.App) error) error {
	t, err := optionalTarget(provider)
	if err != nil {
		return err
	}
	return g.online(cmd.Context(), false, func(ctx context.Context, s *publisherd.Session) error {
		var id publisher.ProviderID
		if t != nil {
			id = t.ID
		}
		app, err := s.State.Get(ctx, name, id)
		switch {
		case status.CodeOf(err) == status.NotFound && t != nil:
			// The state of this machine may be lost; the provider knows whose pod it is.
			app = publisher.App{Name: name, Provider: *t}
		case err != nil:
			return err
		case t != nil && len(t.Addrs) > 0:
			app.Provider.Addrs = t.Addrs
		}
		if err := s.Reach(ctx, app.Provider); err != nil {
			return err
		}
		return use(ctx, s, app)
	})
}

// completeApps completes the names of deployed apps.
func (g *globals) completeApps(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const only = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 || g.app.Settle(cmd) != nil {
		return nil, only
	}
	apps, direct, _ := g.apps(cmd.Context()) // what can be read is completed
	var names []string
	for _, a := range apps {
		names = append(names, a.Name)
	}
	for _, a := range direct {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return slices.Compact(names), only
}

// apps lists what can be read of the state, even if one file cannot be.
func (g *globals) apps(ctx context.Context) ([]publisher.App, []state.DirectApp, error) {
	st, err := g.state()
	if err != nil {
		return nil, nil, err
	}
	apps, err := st.List(ctx)
	direct, directErr := st.Direct("")
	return apps, direct, errors.Join(err, directErr)
}

// appFields is what the objects of deploy, list and status have in common.
type appFields struct {
	App            string               `json:"app"`
	PodID          string               `json:"pod_id"`
	Revision       uint64               `json:"revision"`
	Provider       publisher.ProviderID `json:"provider"`
	Images         []appImage           `json:"images"`
	ManifestDigest string               `json:"manifest_digest"`
	Verdict        string               `json:"verdict"`
	URL            string               `json:"url"`
	Endpoints      []appEndpoint        `json:"endpoints"`
}

// appEndpoint is one way to reach the app. Dial is the address to connect to
// where nobody resolves the URL's host.
type appEndpoint struct {
	Container string `json:"container"`
	Port      uint16 `json:"port"`
	Protocol  string `json:"protocol"`
	URL       string `json:"url"`
	Dial      string `json:"dial"`
}

type appImage struct {
	Container string `json:"container"`
	CID       string `json:"cid"`
	ImageID   string `json:"image_id"`
	// Repository and what follows are of an image that the provider built, as they were
	// verified at the deploy.
	Repository string `json:"repository,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Tree       string `json:"tree,omitempty"`
	Statement  string `json:"statement,omitempty"`
}

func imageOf(i publisher.AppImage) appImage {
	return appImage{i.Container, i.CID, i.ImageID, i.Repository, i.Commit, i.Tree, i.Statement}
}

// commitsOf are the commits of images that were built, shortened.
func commitsOf(images []publisher.AppImage) string {
	var out []string
	for _, i := range images {
		if i.Commit != "" && !slices.Contains(out, short(i.Commit)) {
			out = append(out, short(i.Commit))
		}
	}
	return strings.Join(out, " ")
}

// builtFields is what was verified of a build, in --json.
type builtFields struct {
	Repository string   `json:"repository"`
	Branch     string   `json:"branch"`
	Path       string   `json:"path,omitempty"`
	Commit     string   `json:"commit"`
	Tree       string   `json:"tree"`
	ImageID    string   `json:"image_id"`
	Statement  string   `json:"statement"`
	BuildID    string   `json:"build_id"`
	Runtime    string   `json:"runtime"`
	Argv       []string `json:"argv"`
	Signer     string   `json:"signer,omitempty"`
}

func builtOf(b *publisher.BuiltFrom) *builtFields {
	if b == nil {
		return nil
	}
	out := &builtFields{b.Repository, b.Branch, b.Path, b.Commit, b.Tree, b.ImageID, b.Statement, b.BuildID, b.Runtime, append([]string{}, b.Argv...), ""}
	if b.Signer != nil {
		out.Signer = b.Signer.Kind + " " + b.Signer.Key
	}
	return out
}

func fieldsOf(a publisher.App) appFields {
	f := appFields{
		App: a.Name, PodID: a.PodID, Revision: a.Revision, Provider: a.Provider.ID, Images: []appImage{},
		ManifestDigest: a.ManifestDigest, Verdict: a.Verdict, URL: a.URL, Endpoints: []appEndpoint{},
	}
	for _, e := range a.Endpoints {
		f.Endpoints = append(f.Endpoints, appEndpoint{e.Container, e.Port, string(e.Protocol), e.URL, e.Dial})
	}
	for _, i := range a.Images {
		f.Images = append(f.Images, imageOf(i))
	}
	return f
}

func newList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the apps deployed from this machine",
		Long:    "List the apps deployed from this machine, as they were at the last deploy.",
		Example: "  publisher list\n  publisher list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			apps, direct, err := g.apps(cmd.Context())
			if err != nil && len(apps)+len(direct) == 0 {
				return err
			}
			g.app.Result(struct {
				Apps int `json:"apps"`
			}{len(apps) + len(direct)})
			g.printApps(apps, direct)
			return err
		},
	}
}

func (g *globals) printApps(apps []publisher.App, direct []state.DirectApp) {
	if g.app.JSON {
		for _, a := range apps {
			g.app.Emit("app", fieldsOf(a))
		}
		for _, a := range direct {
			g.app.Emit("app", directFieldsOf(a))
		}
		return
	}
	if len(apps)+len(direct) == 0 {
		fmt.Fprintln(g.app.Stderr, "no app was deployed from here; `publisher deploy APP.YAML` deploys one")
		return
	}
	w := tabwriter.NewWriter(g.app.Stdout, 0, 8, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "APP\tREV\tDEPLOYED\tCOMMIT\tPROVIDER\tURL")
	for _, a := range apps {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", a.Name, a.Revision, a.Updated.Local().Format(time.DateTime), cli.OrDash(commitsOf(a.Images)), a.Provider.ID, cli.OrDash(cli.Clean(a.URL)))
	}
	for _, a := range direct {
		fmt.Fprintf(w, "%s\t%d\t%s\t-\t%s\t%s\n", a.Name, a.Revision, a.Updated.Local().Format(time.DateTime), cli.Clean(a.API), cli.OrDash(cli.Clean(a.URL)))
	}
}

func newDelete(g *globals) *cobra.Command {
	var w where
	var keepVolumes bool
	cmd := &cobra.Command{
		Use: "delete APP", Short: "Stop an app and remove everything of it",
		Long: `Stop an app and remove everything of it, its persistent volumes included. An app
that its provider has not is forgotten here too, with exit code 13. An app that was
deployed with --api is removed in all its environments.`,
		Example:           "  publisher delete shop\n  publisher delete shop --keep-volumes",
		ValidArgsFunction: g.completeApps,
	}
	w.add(cmd)
	cmd.Flags().BoolVar(&keepVolumes, "keep-volumes", false, "leave persistent volumes for a later app of the same name")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if a, err := g.over(cmd, args[0], w, "keep-volumes"); a != nil || err != nil {
			return a.use(cmd.Context(), err, g.deleteDirect)
		}
		return g.at(cmd, args[0], w.provider, func(ctx context.Context, s *publisherd.Session, app publisher.App) error {
			err := s.Pods.DeletePod(ctx, app.Provider.ID, app.Name, keepVolumes)
			gone := status.CodeOf(err) == status.NotFound
			if err != nil && !gone {
				return err
			}
			if forgetErr := s.State.Delete(ctx, app.Name, app.Provider.ID); forgetErr != nil && status.CodeOf(forgetErr) != status.NotFound {
				return forgetErr
			}
			if gone {
				// Said, so that a typo is noticed; the state here is cleared all the same.
				return err
			}
			g.app.Result(struct {
				App      string               `json:"app"`
				Provider publisher.ProviderID `json:"provider"`
				Deleted  bool                 `json:"deleted"`
			}{app.Name, app.Provider.ID, true})
			fmt.Fprintf(g.app.Stderr, "deleted %s\n", app.Name)
			return nil
		})
	}
	return cmd
}
