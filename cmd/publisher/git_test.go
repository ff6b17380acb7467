package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/commit"
	"apocryph/manifest/detect"
	"apocryph/manifest/slug"
	"apocryph/proto/status"
	"apocryph/publisher"
)

func TestBuildView(t *testing.T) {
	o := newOutput(false)
	v := newDeployView(o.g.app)
	for _, e := range []publisher.Event{
		{Event: "build", Stage: "queued"},
		{Event: "build", Stage: "compiling", Percent: 30},
		{Event: "build", Text: "a line" + evil},
		{Event: "build", Stage: "compiling", Percent: 31},
		{Event: "build", Stage: "done", Percent: 100, Final: true},
		{Event: "built", Text: "c0ffee of https://github.com/o/r, static"},
	} {
		v.event(e)
	}
	v.close()
	want := "build     queued\nbuild     compiling\nbuild     | a line"
	if got := o.err.String(); !strings.HasPrefix(got, want) || strings.ContainsAny(got, "\x1b\r") || !strings.HasSuffix(got, "\nbuild     done\nbuilt     c0ffee of https://github.com/o/r, static\n") || strings.Count(got, "compiling") != 1 {
		t.Errorf("got %q", got)
	}
}

func TestPrintDeployedCommit(t *testing.T) {
	o := newOutput(true)
	d := &publisher.Deployed{
		App:      publisher.App{Name: "shop", URL: "http://shop/", Images: []publisher.AppImage{{Container: "web", Commit: "c0ffee", Repository: "https://github.com/o/r", Tree: "7ree", Statement: "sha256:ab"}}},
		Built:    &publisher.BuiltFrom{Repository: "https://github.com/o/r", Branch: "refs/heads/main", Commit: "c0ffee", Tree: "7ree", Statement: "sha256:ab", Signer: &attest.BuildSigner{Kind: "ssh", Key: "SHA256:x"}},
		Warnings: []string{"a warning"},
	}
	o.g.printDeployed(d)
	o.g.app.ResultNow(builtOf(d.Built))
	for _, want := range []string{`"commit":"c0ffee"`, `"tree":"7ree"`, `"statement":"sha256:ab"`, `"signer":"ssh SHA256:x"`} {
		if !strings.Contains(o.out.String(), want) {
			t.Errorf("the result lacks %s: %s", want, o.out.String())
		}
	}
	if !strings.Contains(o.err.String(), "warning: a warning\n") {
		t.Errorf("standard error: %s", o.err.String())
	}
}

// TestGravest is which of several failures decides the exit code of up.
func TestGravest(t *testing.T) {
	failed := func(codes ...status.Code) []*upApp {
		out := []*upApp{{name: "ok"}}
		for _, c := range codes {
			out = append(out, &upApp{name: "bad", err: status.New(c, "x", "it failed")})
		}
		return out
	}
	for name, c := range map[string]struct {
		apps []*upApp
		want int
	}{
		"none":                      {failed(), 0},
		"one":                       {failed(status.Unavailable), 17},
		"untrusted before all":      {failed(status.InvalidArgument, status.PermissionDenied, status.Untrusted, status.AppFailed), 12},
		"an app before the network": {failed(status.Unavailable, status.AppFailed, status.ResourceExhausted), 19},
		"a fault of ours":           {append(failed(), &upApp{err: errors.New("broken")}), 1},
		"any other before it":       {append(failed(status.Unavailable), &upApp{err: errors.New("broken")}), 17},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutput(false)
			u := &upView{app: o.g.app, apps: c.apps}
			if got := status.ExitCode(u.end(context.Background(), false)); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
			if rows := strings.Count(o.out.String(), "\n"); rows != len(c.apps)+1 {
				t.Errorf("%d rows:\n%s", rows, o.out.String())
			}
		})
	}
}

// TestUpSource: what was planned is what has to be built.
func TestUpSource(t *testing.T) {
	s, err := slug.Parse("gh:o/r#main")
	if err != nil {
		t.Fatal(err)
	}
	a := &upApp{item: slug.Item{Slug: s, Path: "site"}, from: origin{Branch: "refs/heads/main", Commit: commit.Commit{ID: strings.Repeat("ab", 20)}}, planned: detect.Plan{Runtime: "static"}}
	got := a.source()
	want := &publisher.Source{Slug: slug.Slug{Host: slug.GitHub, Repo: "o/r", Ref: strings.Repeat("ab", 20)}, Branch: "refs/heads/main", Path: "site"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	a.from.Branch = "refs/tags/v1"
	if got := a.source(); got.Slug != s || got.Branch != "" {
		t.Errorf("a tag became %+v", got)
	}
}
