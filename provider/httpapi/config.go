package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"apocryph/proto/status"
	"apocryph/provider"
	"apocryph/provider/artifacts"
	"apocryph/provider/auth"
	"apocryph/provider/deploy"
)

// Pods is what the API shows of the provider core.
type Pods interface {
	All(ctx context.Context) ([]provider.PodView, error)
	Ready() <-chan struct{}
}

// Documents keeps the answers to Idempotency-Keys over restarts; the store's
// documents are ones.
type Documents interface {
	Put(ctx context.Context, name string, value []byte) error
	All(ctx context.Context) (map[string][]byte, error)
	Delete(ctx context.Context, name string) error
}

// Config is what the API is made of.
type Config struct {
	Pods Pods
	// Apps and Deployments come together. Without them there is no route to deploy.
	Apps        deploy.Apps
	Deployments deploy.Deployments
	// Builds may be nil: then there is no route to build from source.
	Builds Builds
	// Repositories may be nil: then no namespace has one.
	Repositories Repositories
	// Artifacts may be nil: then there is no route for them.
	Artifacts *artifacts.Store
	// Auth says who calls. Nil lets in only the callers of unix sockets.
	Auth *auth.Authenticator
	// Answers may be nil: then they are lost with the process.
	Answers Documents
	// Staging is the directory, of this process's own, that uploads are unpacked
	// in; it lies on the file system of what they become.
	Staging string
	Limits  Limits
	Version string
	// Origins are the web pages, as "https://HOST[:PORT]", whose scripts may call;
	// none by default.
	Origins []string
	// Now is the clock, time.Now by default.
	Now    func() time.Time
	Logger *slog.Logger
}

// API is the provider's HTTP API.
type API struct {
	cfg     Config
	limits  Limits
	auth    *auth.Authenticator
	log     *slog.Logger
	now     func() time.Time
	started time.Time
	ops     []operation
	routes  *http.ServeMux
	answers *answers
	uploads *gate
	streams *gate
	// document is /openapi.json, page is /docs.
	document, page []byte
}

// New checks a configuration. All faults are told at once, as invalid_argument
// "api.config".
func New(cfg Config) (*API, error) {
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	if cfg.Pods == nil {
		fault("Pods", "nothing", "the provider core")
	}
	if (cfg.Apps == nil) != (cfg.Deployments == nil) {
		fault("Deployments", "one of Apps and Deployments", "both or none")
	}
	if cfg.Builds != nil && cfg.Deployments == nil {
		fault("Builds", "builds without deployments", "both")
	}
	if cfg.Repositories != nil && cfg.Deployments == nil {
		fault("Repositories", "repositories without deployments", "both")
	}
	if cfg.Deployments != nil {
		if st, err := os.Stat(cfg.Staging); err != nil || !st.IsDir() {
			fault("Staging", cfg.Staging, "a directory that exists")
		}
	}
	for _, o := range cfg.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != o {
			fault("Origins", o, "https://HOST[:PORT]")
		}
	}
	if len(faults) > 0 {
		return nil, status.Invalid("api.config", "the API's configuration", faults)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Auth == nil {
		closed, err := auth.New(auth.Config{Now: cfg.Now, Logger: cfg.Logger})
		if err != nil {
			return nil, err
		}
		cfg.Auth = closed
	}
	limits := cfg.Limits.withDefaults()
	cfg.Origins = slices.Clone(cfg.Origins)
	a := &API{
		cfg: cfg, limits: limits, auth: cfg.Auth, log: cfg.Logger, now: cfg.Now, started: cfg.Now(),
		answers: newAnswers(cfg.Answers, limits.Keys, cfg.Now, cfg.Logger),
		uploads: newGate(limits.Uploads), streams: newGate(limits.Streams),
	}
	a.ops = a.operations()
	a.routes = a.router()
	doc := a.openAPI()
	var err error
	if a.document, err = encodeDocument(doc); err != nil {
		return nil, err
	}
	if a.page, err = renderPage(doc); err != nil {
		return nil, err
	}
	return a, nil
}

// Server serves the API on any listener. Callers of a unix socket are known by
// their credentials: it must be given the socket's own listener.
func (a *API) Server() *http.Server {
	return &http.Server{
		Handler:           a,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: writeTimeout + bodyTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		ConnContext:    auth.ConnContext,
	}
}
