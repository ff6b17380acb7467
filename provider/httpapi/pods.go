package httpapi

import (
	"net/http"
	"time"

	"apocryph/proto/status"
	"apocryph/provider"
)

// health is GET /health.
type health struct {
	Status  string `json:"status"`
	Version string `json:"version"`
	// Uptime is in seconds.
	Uptime int64 `json:"uptime_s"`
}

func (c *call) health() error {
	select {
	case <-c.api.cfg.Pods.Ready():
	default:
		return status.New(status.Unavailable, "provider.starting", "this provider is starting").WithRetryAfter(time.Second)
	}
	return c.json(http.StatusOK, health{"ok", c.api.cfg.Version, int64(c.api.now().Sub(c.api.started) / time.Second)})
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

// pods is GET /pods.
type pods struct {
	Pods []pod `json:"pods"`
}

func (c *call) pods() error {
	views, err := c.api.cfg.Pods.All(c.ctx())
	if err != nil {
		return err
	}
	out := pods{Pods: make([]pod, 0, len(views))}
	for _, v := range views {
		p := pod{
			ID: v.ID, Publisher: string(v.Publisher), Name: v.Name, Revision: v.Revision, State: v.State, Reason: v.Reason,
			Manifest: v.ManifestDigest.String(), Created: v.Created, Updated: v.Updated, Endpoints: []endpoint{}, Containers: []container{},
		}
		for _, e := range v.Endpoints {
			p.Endpoints = append(p.Endpoints, endpoint{e.Container, string(e.Protocol), e.URL, e.Dial})
		}
		for _, s := range v.Containers {
			p.Containers = append(p.Containers, container{s.Name, s.Replica, s.State, s.Restarts, s.ExitCode, s.ImageID, s.Reason})
		}
		out.Pods = append(out.Pods, p)
	}
	return c.json(http.StatusOK, out)
}
