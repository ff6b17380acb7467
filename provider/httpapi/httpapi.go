package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"time"

	"apocryph/proto/problem"
	"apocryph/proto/status"
	"apocryph/provider"
)

const (
	// maxHeaderBytes bounds a request's header, maxBody its body: no route reads one.
	maxHeaderBytes = 32 << 10
	maxBody        = 1 << 10
	// readTimeout is against a caller that sends its header byte by byte.
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
)

// Pods is what the API shows.
type Pods interface {
	All(ctx context.Context) ([]provider.PodView, error)
	Ready() <-chan struct{}
}

// API is the provider's HTTP API.
type API struct {
	pods    Pods
	version string
	log     *slog.Logger
}

// New makes the API.
func New(pods Pods, version string, log *slog.Logger) *API {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &API{pods: pods, version: version, log: log}
}

type operatorKey struct{}

// Server serves the API. Callers of a listener that is for the operator may do
// everything, others what everybody may.
func (a *API) Server(operator bool) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", a.handle(a.health))
	mux.HandleFunc("GET /pods", a.handle(a.list))
	mux.HandleFunc("/", a.handle(func(http.ResponseWriter, *http.Request) error {
		return status.New(status.NotFound, "route.unknown", "there is no such route").WithHint("GET /health is one")
	}))
	return &http.Server{
		Handler:           http.MaxBytesHandler(mux, maxBody),
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, operatorKey{}, operator)
		},
	}
}

// handle renders an error once, as a problem document.
func (a *API) handle(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			a.log.Debug("request refused", "method", r.Method, "path", r.URL.Path, "err", err)
			problem.Write(w, r, err)
		}
	}
}

func (a *API) health(w http.ResponseWriter, _ *http.Request) error {
	select {
	case <-a.pods.Ready():
	default:
		return status.New(status.Unavailable, "provider.starting", "this provider is starting").WithRetryAfter(time.Second)
	}
	return writeJSON(w, map[string]string{"status": "ok", "version": a.version})
}

// pod is one pod in the operator's list. No secret and no value of the
// environment is in it.
type pod struct {
	ID         provider.PodID `json:"id"`
	Publisher  string         `json:"publisher"`
	Name       string         `json:"name"`
	Revision   uint64         `json:"revision"`
	State      provider.State `json:"state"`
	Reason     string         `json:"reason,omitempty"`
	Manifest   string         `json:"manifest_digest"`
	Endpoints  []endpoint     `json:"endpoints"`
	Containers []container    `json:"containers"`
	Created    time.Time      `json:"created"`
	Updated    time.Time      `json:"updated"`
}

type endpoint struct {
	Container string `json:"container"`
	Protocol  string `json:"protocol"`
	URL       string `json:"url"`
	Dial      string `json:"dial"`
}

type container struct {
	Name     string `json:"name"`
	Replica  uint32 `json:"replica"`
	State    string `json:"state"`
	Restarts int    `json:"restarts"`
	ExitCode int    `json:"exit_code"`
	ImageID  string `json:"image_id"`
	Reason   string `json:"reason,omitempty"`
}

func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	if operator, _ := r.Context().Value(operatorKey{}).(bool); !operator {
		return status.New(status.PermissionDenied, "api.operator", "pods are listed for the operator only").
			WithHint("ask through the unix socket that provider.json names, or run `provider pods`")
	}
	views, err := a.pods.All(r.Context())
	if err != nil {
		return err
	}
	pods := make([]pod, 0, len(views))
	for _, v := range views {
		p := pod{
			ID: v.ID, Publisher: string(v.Publisher), Name: v.Name, Revision: v.Revision, State: v.State, Reason: v.Reason,
			Manifest: v.ManifestDigest.String(), Created: v.Created, Updated: v.Updated, Endpoints: []endpoint{}, Containers: []container{},
		}
		for _, e := range v.Endpoints {
			p.Endpoints = append(p.Endpoints, endpoint{e.Container, string(e.Protocol), e.URL, e.Dial})
		}
		for _, c := range v.Containers {
			p.Containers = append(p.Containers, container{c.Name, c.Replica, c.State, c.Restarts, c.ExitCode, c.ImageID, c.Reason})
		}
		pods = append(pods, p)
	}
	return writeJSON(w, map[string][]pod{"pods": pods})
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(v)
}
