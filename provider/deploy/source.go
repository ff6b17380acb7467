package deploy

import (
	"context"
	"io/fs"
	"slices"
	"strings"

	"apocryph/manifest/slug"
	"apocryph/p2p/git"
	"apocryph/proto/status"
	"apocryph/provider/builds"
)

// AppSource is where an app is built from.
type AppSource struct {
	// Slug names a repository, such as "gh:owner/repo#main"; Repo is one on GitHub,
	// "owner/repo". One of the two.
	Slug string `json:"slug,omitempty"`
	Repo string `json:"github_repo_path,omitempty"`
	// Branch is the one that a commit must be reachable from; empty is the slug's, or
	// the repository's default.
	Branch string `json:"git_branch,omitempty"`
	// Path is the directory that is built.
	Path string `json:"git_path,omitempty"`
	// Runtime and Entry are found out where they are empty.
	Runtime string `json:"runtime,omitempty"`
	Entry   string `json:"entry,omitempty"`
	// OfDefault is a namespace's: without a branch, commits are of the repository's default
	// one, also where somebody asks for another branch.
	OfDefault bool `json:"-"`
	// Credential is a namespace's own; an app's source has none.
	Credential *git.Credential `json:"-"`
}

// Built are the runtimes that need a build from source.
func Built() []string { return []string{"python", "node", "go", "dockerfile"} }

// uploads are those that files are packed for, in the deployment itself.
var uploads = []string{"binary", "image", "static"}

// maxSourceText bounds each text of a source.
const maxSourceText = 1024

func (s *AppSource) faults() []status.Fault {
	if s == nil {
		return nil
	}
	var out []status.Fault
	if _, err := s.slug(); err != nil {
		out = append(out, status.Fault{Field: "/source/slug", Got: clip(s.Slug + s.Repo), Want: "slug, such as gh:owner/repo, or github_repo_path, owner/repo"})
	}
	if s.Branch != "" && slug.CheckRef(s.Branch) != nil {
		out = append(out, status.Fault{Field: "/source/git_branch", Got: clip(s.Branch), Want: "the name of a branch"})
	}
	for field, path := range map[string]string{"/source/git_path": s.Path, "/source/entry": s.Entry} {
		if path != "" && (len(path) > maxSourceText || !fs.ValidPath(strings.TrimSuffix(path, "/"))) {
			out = append(out, status.Fault{Field: field, Got: clip(path), Want: "a path in the repository, without a leading slash, . and .."})
		}
	}
	if s.Runtime != "" && s.Runtime != "static" && s.Runtime != "binary" && !slices.Contains(Built(), s.Runtime) {
		out = append(out, status.Fault{Field: "/source/runtime", Got: clip(s.Runtime), Want: "binary, static, " + strings.Join(Built(), ", ") + ", or none"})
	}
	return out
}

func clip(s string) string { return s[:min(len(s), 80)] }

func (s AppSource) slug() (slug.Slug, error) {
	if (s.Slug == "") == (s.Repo == "") {
		return slug.Slug{}, status.New(status.InvalidArgument, "app.invalid", "a source has one of slug and github_repo_path")
	}
	if s.Repo != "" {
		return slug.Parse("gh:" + s.Repo)
	}
	return slug.Parse(s.Slug)
}

// Git is what is fetched: ref, or the source's own where that is empty.
func (s AppSource) Git(ref string) (*builds.GitSource, error) {
	from, err := s.slug()
	if err != nil {
		return nil, err
	}
	if ref != "" {
		if err := slug.CheckRef(ref); err != nil {
			return nil, err
		}
		from.Ref = ref
	} else if from.Ref == "" {
		from.Ref = s.Branch
	}
	return &builds.GitSource{
		Want: git.Want{Slug: from, Branch: s.Branch, OfDefault: s.OfDefault, Credential: s.Credential}, Path: strings.TrimSuffix(s.Path, "/"),
	}, nil
}

// Origin is where an app's source is.
func (o *Orchestrator) Origin(ctx context.Context, namespace, appID string) (AppSource, error) {
	app, err := o.App(ctx, namespace, appID)
	if err != nil {
		return AppSource{}, err
	}
	if app.Source != nil {
		return *app.Source, nil
	}
	if o.cfg.NamespaceGit != nil {
		s, ok, err := o.cfg.NamespaceGit(ctx, app.Namespace)
		if err != nil || ok {
			return s, err
		}
	}
	return AppSource{}, status.Invalid("app.no_source", "the app", []status.Fault{{Field: "/source", Got: "nothing", Want: "where app " + app.Name + " is built from"}}).
		WithHint("PUT /api/v1/apps/%s with a source, such as {\"source\": {\"slug\": \"gh:owner/repo\"}}", app.ID)
}

// built reports whether a request needs a build from source.
func (r Request) built() bool {
	return r.Git != nil || r.AwaitBuild || r.Tree != nil && !slices.Contains(uploads, r.Runtime)
}

// runs reports whether the runtime is one that what is to run can have.
func (r Request) runs() bool {
	switch {
	case r.Image != "" || r.AwaitBuild:
		return true
	case r.Git != nil:
		return r.Runtime == "" || r.Runtime == "static" || r.Runtime == "binary" || slices.Contains(Built(), r.Runtime)
	case r.Tree != nil:
		return r.Runtime == "" || slices.Contains(uploads, r.Runtime) || slices.Contains(Built(), r.Runtime)
	}
	return slices.Contains(uploads, r.Runtime)
}
