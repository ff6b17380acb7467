package provider

import (
	"context"
	"slices"
	"strings"
	"time"

	"apocryph/manifest"
)

// PodView is what a publisher, or the operator, sees of a pod.
type PodView struct {
	ID             PodID
	Publisher      PublisherID
	Name           string
	Revision       uint64
	State          State
	Reason         string
	ManifestDigest manifest.Digest
	Endpoints      []Endpoint
	Containers     []ContainerView
	Created        time.Time
	Updated        time.Time
	// Receipt is that of [Provisioned]; empty while the pod does not run.
	Receipt []byte
}

// ContainerView is one container of one replica.
type ContainerView struct {
	Name    string
	Replica uint32
	// State is "running", "waiting" or "exited".
	State    string
	Restarts int
	// ExitCode is that of the last exit, -1 where there was none.
	ExitCode int
	CID      string
	ImageID  string
	Reason   string
}

// List returns a publisher's pods, by name.
func (s *Service) List(ctx context.Context, publisher PublisherID) ([]PodView, error) {
	return s.views(ctx, func(r Record) bool { return r.Publisher == publisher })
}

// All returns every pod, for the operator.
func (s *Service) All(ctx context.Context) ([]PodView, error) {
	return s.views(ctx, func(Record) bool { return true })
}

// Status returns one of a publisher's pods.
func (s *Service) Status(ctx context.Context, publisher PublisherID, name string) (PodView, error) {
	p, err := s.find(publisher, name)
	if err != nil {
		return PodView{}, err
	}
	have, err := s.list(ctx)
	if err != nil {
		return PodView{}, err
	}
	return s.view(ctx, p, have), nil
}

func (s *Service) views(ctx context.Context, want func(Record) bool) ([]PodView, error) {
	s.mu.Lock()
	var pods []*pod
	for _, p := range s.pods {
		if r := p.record(); r.Revision > 0 && want(r) {
			pods = append(pods, p)
		}
	}
	s.mu.Unlock()
	have, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]PodView, 0, len(pods))
	for _, p := range pods {
		views = append(views, s.view(ctx, p, have))
	}
	slices.SortFunc(views, func(a, b PodView) int {
		return strings.Compare(a.Name+"\x00"+string(a.ID), b.Name+"\x00"+string(b.ID))
	})
	return views, nil
}

func (s *Service) view(ctx context.Context, p *pod, have []Instance) PodView {
	r := p.record()
	envelope, err := s.receipt(ctx, p, r)
	if err != nil && r.State == StateRunning {
		s.log.Warn("a pod is shown without receipt", "pod", r.ID, "err", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v := PodView{
		Receipt: envelope,
		ID:      r.ID, Publisher: r.Publisher, Name: r.Name, Revision: r.Revision, State: r.State, Reason: r.Reason,
		ManifestDigest: r.ManifestDigest, Endpoints: r.Endpoints, Created: r.Created, Updated: r.Updated,
	}
	if v.Reason == "" {
		v.Reason = p.health
	}
	m, err := manifest.Unmarshal(r.Manifest)
	if err != nil {
		return v
	}
	for n := range m.Replicas.Min {
		id := instanceID(r.ID, r.Revision, n)
		i := slices.IndexFunc(have, func(x Instance) bool { return x.ID == id })
		for _, c := range m.Containers {
			key := string(id) + "/" + c.Name
			cv := ContainerView{Name: c.Name, Replica: n, State: "waiting", ExitCode: -1, Restarts: p.restarts[key], Reason: p.waiting[key], CID: c.Image.CID, ImageID: c.Image.ImageID}
			if i >= 0 {
				cv.read(have[i])
			}
			v.Containers = append(v.Containers, cv)
		}
	}
	return v
}

// read takes over what the runtime says of the container.
func (v *ContainerView) read(i Instance) {
	for _, c := range i.Containers {
		switch {
		case c.Name != v.Name:
		case c.Running:
			v.State = "running"
		default:
			v.State, v.ExitCode = "exited", c.ExitCode
		}
	}
}
