package deploy

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"apocryph/manifest"
	"apocryph/manifest/direct"
	"apocryph/proto/status"
)

// everywhere is the operator's view of all namespaces.
const everywhere = "*"

const (
	maxDescription = 1024
	// maxLabels and maxLabelBytes bound labels, maxEnv the app's environment.
	maxLabels     = 64
	maxLabelBytes = 256
	maxEnv        = 128
	maxEnvBytes   = 32 << 10
)

// label is a DNS label (RFC 1123, 2.1).
var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

var notHost = regexp.MustCompile(`[^a-z0-9-]+`)

// subdomain is the host label of an app. A namespace's dots are hyphens in it, so that
// one certificate is for all; who comes second with the same label is refused.
func subdomain(name, namespace string) string {
	return strings.Trim(notHost.ReplaceAllString(strings.ToLower(name+"-"+namespace), "-"), "-")
}

func (a App) faults() []status.Fault {
	var out []status.Fault
	if !direct.IsNamespace(a.Namespace) {
		out = append(out, status.Fault{Field: "/namespace", Got: clip(a.Namespace), Want: direct.WantNamespace})
	}
	if !label.MatchString(a.Name) || strings.Contains(a.Name, "--") {
		out = append(out, status.Fault{Field: "/name", Got: clip(a.Name), Want: "a DNS label in lower case of at most 63 characters, without two hyphens in a row"})
	}
	if len(a.Description) > maxDescription {
		out = append(out, status.Fault{Field: "/description", Got: "a longer text", Want: "at most 1024 bytes"})
	}
	if len(a.Labels) > maxLabels {
		out = append(out, status.Fault{Field: "/labels", Got: "more", Want: "at most 64"})
	}
	for k, v := range a.Labels {
		if len(k) > maxLabelBytes || len(v) > maxLabelBytes || k == "" {
			out = append(out, status.Fault{Field: "/labels", Got: k[:min(len(k), 80)], Want: "keys and values of at most 256 bytes"})
		}
	}
	size := 0
	for k, v := range a.Env {
		size += len(k) + len(v)
		// What a manifest refuses would fail every deployment of the app.
		for _, f := range manifest.EnvFaults(k, v) {
			out = append(out, status.Fault{Field: "/env/" + clip(k), Got: f.Got, Want: f.Want})
		}
	}
	if len(a.Env) > maxEnv || size > maxEnvBytes {
		out = append(out, status.Fault{Field: "/env", Got: "more", Want: "at most 128 variables and 32 KiB"})
	}
	out = append(out, a.Source.faults()...)
	slices.SortFunc(out, func(a, b status.Fault) int { return cmp.Compare(a.Field+a.Got, b.Field+b.Got) })
	return out
}

// CreateApp makes an app.
func (o *Orchestrator) CreateApp(ctx context.Context, a App) (App, error) {
	if faults := a.faults(); len(faults) > 0 {
		return App{}, status.Invalid("app.invalid", "the app", faults)
	}
	a.ID, a.Subdomain, a.Version = uuid.NewString(), subdomain(a.Name, a.Namespace), 1
	a.Created = o.cfg.Now()
	a.Updated, a.Environments = a.Created, []string{production, "development"}
	if a.Labels == nil {
		a.Labels = map[string]string{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.work == nil {
		return App{}, errStopping()
	}
	own := 0
	for _, have := range o.apps {
		if have.Subdomain == a.Subdomain {
			return App{}, status.New(status.Conflict, "app.exists", "the subdomain %s is taken by an app", a.Subdomain).
				WithHint("choose another name")
		}
		if have.Namespace == a.Namespace {
			own++
		}
	}
	if own >= maxAppsPerNamespace || len(o.apps) >= maxApps {
		return App{}, status.New(status.ResourceExhausted, "app.limit", "there are %d apps in namespace %s and %d in all, the most is %d and %d",
			own, a.Namespace, len(o.apps), maxAppsPerNamespace, maxApps)
	}
	// Held meanwhile, so that no two apps get one subdomain.
	if err := o.keepApp(ctx, a); err != nil {
		return App{}, err
	}
	o.apps[a.ID] = &a
	return a.clone(), nil
}

func (a App) clone() App {
	a.Labels, a.Env, a.Environments = maps.Clone(a.Labels), maps.Clone(a.Env), slices.Clone(a.Environments)
	if a.Source != nil {
		own := *a.Source
		a.Source = &own
	}
	a.Domains = slices.Clone(a.Domains)
	return a
}

// App returns an app.
func (o *Orchestrator) App(_ context.Context, namespace, id string) (App, error) {
	return o.app(namespace, func(a *App) bool { return a.ID == id }, id)
}

// AppByName returns an app.
func (o *Orchestrator) AppByName(_ context.Context, namespace, name string) (App, error) {
	return o.app(namespace, func(a *App) bool { return a.Name == name }, name)
}

func (o *Orchestrator) app(namespace string, is func(*App) bool, what string) (App, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.apps {
		if is(a) && (namespace == everywhere || a.Namespace == namespace) {
			return a.clone(), nil
		}
	}
	return App{}, status.New(status.NotFound, "app.unknown", "there is no app %.80q", what)
}

// ListApps returns a page of a namespace's apps, by creation unless p names
// "name" or "updated_at", and how many there are in all.
func (o *Orchestrator) ListApps(_ context.Context, namespace string, p Page) ([]App, int, error) {
	var by func(a, b App) int
	switch p.SortBy {
	case "", "created_at":
		by = func(a, b App) int { return a.Created.Compare(b.Created) }
	case "name":
		by = func(a, b App) int { return cmp.Compare(a.Name, b.Name) }
	case "updated_at":
		by = func(a, b App) int { return a.Updated.Compare(b.Updated) }
	default:
		return nil, 0, status.Invalid("page.invalid", "the page", []status.Fault{{Field: "sort_by", Got: p.SortBy, Want: "created_at, updated_at or name"}})
	}
	o.mu.Lock()
	var out []App
	for _, a := range o.apps {
		if (namespace == everywhere || a.Namespace == namespace) && p.labelled(a.Labels) {
			out = append(out, a.clone())
		}
	}
	o.mu.Unlock()
	slices.SortFunc(out, func(a, b App) int {
		n := by(a, b)
		if p.Descending {
			n = -n
		}
		return cmp.Or(n, cmp.Compare(a.ID, b.ID))
	})
	return pageOf(out, p), len(out), nil
}

// pageOf cuts a page out of a list.
func pageOf[T any](all []T, p Page) []T {
	if p.Size <= 0 {
		return all
	}
	from := min((max(p.Number, 1)-1)*p.Size, len(all))
	return all[from:min(from+p.Size, len(all))]
}

// UpdateApp changes an app; its name and namespace stay.
func (o *Orchestrator) UpdateApp(ctx context.Context, namespace, id string, version uint64, change func(*App) error) (App, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	have := o.apps[id]
	if have == nil || namespace != everywhere && have.Namespace != namespace {
		return App{}, status.New(status.NotFound, "app.unknown", "there is no app %.80q", id)
	}
	if version != 0 && version != have.Version {
		return App{}, status.New(status.Conflict, "app.version", "the app is at version %d, the change is of version %d", have.Version, version).
			WithHint("read it again and change what is there now")
	}
	next := have.clone()
	if err := change(&next); err != nil {
		return App{}, err
	}
	next.ID, next.Namespace, next.Name, next.Subdomain, next.Created, next.Domains = have.ID, have.Namespace, have.Name, have.Subdomain, have.Created, have.Domains
	if faults := next.faults(); len(faults) > 0 {
		return App{}, status.Invalid("app.invalid", "the app", faults)
	}
	next.Version, next.Updated = have.Version+1, o.cfg.Now()
	if err := o.keepApp(ctx, next); err != nil {
		return App{}, err
	}
	o.apps[id] = &next
	return next.clone(), nil
}
