package httpapi

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"slices"
	"strings"

	"apocryph/proto/status"
	"apocryph/provider/deploy"
)

// view is a deployment as it is shown: lists are lists, also empty ones.
func view(d deploy.Deployment) deploy.Deployment {
	if d.Results == nil {
		d.Results = []deploy.Result{}
	}
	if d.Warnings == nil {
		d.Warnings = []string{}
	}
	return d
}

// list is a page of a list.
type list[T any] struct {
	Data []T `json:"data"`
	// Total is how many there are in all pages.
	Total    int `json:"total"`
	Page     int `json:"page"`
	PageSize int `json:"page_size"`
}

func listOf[T any](items []T, total int, p deploy.Page) list[T] {
	if items == nil {
		items = []T{}
	}
	l := list[T]{Data: items, Total: total, Page: p.Number, PageSize: p.Size}
	if l.PageSize == 0 {
		l.PageSize = total
	}
	return l
}

// change and plan are deploy's, with names for JSON.
type plan struct {
	App         string          `json:"app"`
	Environment string          `json:"environment"`
	Operation   string          `json:"operation"`
	Changes     []deploy.Change `json:"changes"`
	Warnings    []string        `json:"warnings"`
	Entry       deploy.Entry    `json:"entry"`
	Asset       string          `json:"asset,omitempty"`
	PerHour     string          `json:"per_hour,omitempty"`
}

func planView(p deploy.Plan) plan {
	out := plan(p)
	if out.Changes == nil {
		out.Changes = []deploy.Change{}
	}
	if out.Warnings == nil {
		out.Warnings = []string{}
	}
	return out
}

// app is an app as it is shown. The values of its environment are its secrets:
// only their names are told.
type app struct {
	ID           string            `json:"id"`
	Namespace    string            `json:"namespace"`
	Name         string            `json:"name"`
	Subdomain    string            `json:"subdomain"`
	Description  string            `json:"description"`
	Labels       map[string]string `json:"labels"`
	EnvNames     []string          `json:"env_names"`
	Source       *deploy.AppSource `json:"source,omitempty"`
	Environments []string          `json:"environments"`
	CreatedAt    string            `json:"created_at"`
	UpdatedAt    string            `json:"updated_at"`
	Version      uint64            `json:"version"`
}

const timeFormat = "2006-01-02T15:04:05.999999999Z07:00"

func appView(a deploy.App) app {
	v := app{
		ID: a.ID, Namespace: a.Namespace, Name: a.Name, Subdomain: a.Subdomain, Description: a.Description,
		Labels: a.Labels, EnvNames: slices.Sorted(maps.Keys(a.Env)), Source: a.Source, Environments: a.Environments,
		CreatedAt: a.Created.UTC().Format(timeFormat), UpdatedAt: a.Updated.UTC().Format(timeFormat), Version: a.Version,
	}
	if v.Labels == nil {
		v.Labels = map[string]string{}
	}
	if v.EnvNames == nil {
		v.EnvNames = []string{}
	}
	if v.Environments == nil {
		v.Environments = []string{}
	}
	return v
}

// appTag is an app's entity tag (RFC 9110, 8.8.3), a strong one: an app that was
// deleted and made again has another id.
func appTag(a deploy.App) string {
	h := fnv.New32a()
	h.Write([]byte(a.ID))
	return fmt.Sprintf(`"%08x-%d"`, h.Sum32(), a.Version)
}

// matches reports whether a list of entity tags has one. A weak one never
// matches, as If-Match wants it; for If-None-Match that only costs a body.
func matches(values []string, tag string) bool {
	for _, line := range values {
		for _, t := range strings.Split(line, ",") {
			if t = strings.TrimSpace(t); t == tag || t == "*" {
				return true
			}
		}
	}
	return false
}

// unchanged checks If-Match, where the caller sent it.
func (c *call) unchanged(tag string) (bool, error) {
	values := c.r.Header.Values("If-Match")
	if len(values) == 0 {
		return false, nil
	}
	if matches(values, tag) {
		return true, nil
	}
	return true, &answerError{
		err:  status.New(status.Conflict, "api.precondition", "it was changed since: its entity tag is %s", tag).WithHint("get it, apply your change to what it is now, and send If-Match with its ETag"),
		code: http.StatusPreconditionFailed,
	}
}
