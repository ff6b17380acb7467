package deploy

import (
	"context"

	"apocryph/provider"
	"apocryph/provider/builds"
)

// Apps is what a front door does with apps. A namespace of "*" is the operator's
// view of all. Unknown and foreign are one answer, not_found "app.unknown".
type Apps interface {
	// CreateApp refuses a name whose subdomain is taken, conflict "app.exists".
	CreateApp(ctx context.Context, a App) (App, error)
	App(ctx context.Context, namespace, id string) (App, error)
	AppByName(ctx context.Context, namespace, name string) (App, error)
	// ListApps returns a page and how many there are in all.
	ListApps(ctx context.Context, namespace string, p Page) ([]App, int, error)
	// UpdateApp changes an app of the given version, 0 for whichever it is; else it
	// is a conflict "app.version".
	UpdateApp(ctx context.Context, namespace, id string, version uint64, change func(*App) error) (App, error)
	// AddDomain leads a host name of the caller's own to an app: to what runs in an
	// environment, or to one deployment's revision alone. It is domain.invalid,
	// domain.refused (permission_denied), or a conflict, domain.taken.
	AddDomain(ctx context.Context, namespace, id string, d Domain) (Domain, error)
	// RemoveDomain gives a host name up; one that the app has not is not_found,
	// domain.unknown.
	RemoveDomain(ctx context.Context, namespace, id, domain string) error
	// DeleteApp removes an app with its pods, and its deployments.
	DeleteApp(ctx context.Context, namespace, id string) error
}

// Deployments is what a front door does with deployments. Unknown and foreign
// are one answer, not_found "deployment.unknown".
type Deployments interface {
	// Submit stores a deployment and starts it; it goes on when ctx ends. A
	// repeated RequestID returns the deployment that it made.
	Submit(ctx context.Context, r Request) (Deployment, error)
	Plan(ctx context.Context, r Request) (Plan, error)
	Deployment(ctx context.Context, namespace, id string) (Deployment, error)
	// ListDeployments returns those of an app, newest first, and how many there are.
	ListDeployments(ctx context.Context, namespace, appID string, p Page) ([]Deployment, int, error)
	// Cancel ends a deployment whose order is not placed yet; later it is a
	// conflict "deployment.ended" or "deployment.placed".
	Cancel(ctx context.Context, namespace, id string) (Deployment, error)
	// Rollback brings back what a deployment of the same app and environment ran;
	// Promote runs it in another environment. Both make a new deployment.
	Rollback(ctx context.Context, namespace, id, by string) (Deployment, error)
	Promote(ctx context.Context, namespace, id, environment, by string) (Deployment, error)
	// Attach gives a deployment that waits for a build the one that submit makes.
	// Another deployment is a conflict "deployment.not_waiting".
	Attach(ctx context.Context, namespace, id string, submit func(context.Context) (builds.Build, error)) (builds.Build, error)
	// Origin is where an app's source is: what it says itself, else its namespace.
	// Without either it is invalid_argument "app.no_source".
	Origin(ctx context.Context, namespace, appID string) (AppSource, error)
	// Watch calls fn for each event after the given number, and returns after the
	// last one, or when ctx ends, or with fn's error.
	Watch(ctx context.Context, namespace, id string, after uint64, fn func(Event) error) error
	// Logs reads what the deployment's revision wrote.
	Logs(ctx context.Context, namespace, id string, q provider.LogQuery, fn func(provider.LogLine) error) error
}
