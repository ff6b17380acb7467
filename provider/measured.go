package provider

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"apocryph/attest"
	"apocryph/attest/podlog"
	"apocryph/manifest"
	"apocryph/proto/status"
)

// Setup is what the pod log says of a provider before it is ready.
type Setup struct {
	// Provider is the text form of its peer id.
	Provider string
	// Binary is the SHA-256 of the running program.
	Binary manifest.Digest
	// Parts are the parts of its configuration, at least one.
	Parts []SetupPart
	// Storage is how data at rest is protected, as in the claims.
	Storage string
	// AccessPaths are the ways into the machine beside the protocol and the ingress.
	AccessPaths []string
}

// SetupPart is one part of a configuration and the SHA-256 of what is in force.
type SetupPart struct {
	Name      string
	Effective manifest.Digest
}

// trace is what the log of this boot says of one pod. The log is the truth, and
// this is read from it again after a restart.
type trace struct {
	// created has the manifests of the revisions that were announced.
	created map[uint64]manifest.Digest
	// execs are the image ids of containers that were made, by instance.
	execs map[InstanceID]map[string]string
	// started are the instances that were started and not stopped.
	started map[InstanceID]bool
}

func newTrace() trace {
	return trace{created: map[uint64]manifest.Digest{}, execs: map[InstanceID]map[string]string{}, started: map[InstanceID]bool{}}
}

// note takes over an event.
func (t trace) note(e podlog.Event) {
	switch e := e.(type) {
	case *podlog.PodCreate:
		t.created[e.Revision] = e.Manifest
		// What was made for an earlier order of this number was for another manifest.
		prefix := fmt.Sprintf("%s-%d-", e.PodID, e.Revision)
		maps.DeleteFunc(t.execs, func(id InstanceID, _ map[string]string) bool { return strings.HasPrefix(string(id), prefix) })
	case *podlog.ImageExec:
		id := InstanceID(e.Instance)
		if t.execs[id] == nil {
			t.execs[id] = map[string]string{}
		}
		t.execs[id][e.Container] = e.ImageID.String()
	case *podlog.PodStart:
		t.started[InstanceID(e.Instance)] = true
	case *podlog.PodStop:
		delete(t.started, InstanceID(e.Instance))
		delete(t.execs, InstanceID(e.Instance))
	}
}

// instant is now as the log writes it.
func (s *Service) instant() time.Time { return s.cfg.Now().Truncate(time.Millisecond).UTC() }

// announceSelf logs which software begins, what it is set up to do, and that no
// configuration comes after it.
func (s *Service) announceSelf(ctx context.Context) error {
	at := s.instant()
	events := []podlog.Event{&podlog.AgentStart{
		At: at, Version: s.cfg.Version, Binary: s.cfg.Setup.Binary, Provider: s.cfg.Setup.Provider, BootEpoch: s.keys.epoch,
		Keys: podlog.KeysDigest(s.keys.hpke.PublicKey(), s.keys.receipt.Public().(ed25519.PublicKey)),
	}}
	for _, part := range s.cfg.Setup.Parts {
		events = append(events, &podlog.Config{
			At: at, Name: part.Name, Effective: part.Effective, Storage: s.cfg.Setup.Storage, AccessPaths: s.cfg.Setup.AccessPaths,
		})
	}
	for _, e := range append(events, &podlog.Ready{At: at}) {
		if err := s.cfg.Log.Append(ctx, "", e); err != nil {
			return fmt.Errorf("logging %s: %w", e.Type(), err)
		}
	}
	return nil
}

// measure logs an event of a pod. Where that fails, what it announces must not
// happen.
func (s *Service) measure(ctx context.Context, p *pod, e podlog.Event) error {
	if err := s.cfg.Log.Append(ctx, p.record().ID, e); err != nil {
		return fmt.Errorf("logging %s: %w", e.Type(), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trace.note(e)
	return nil
}

// recall reads what the log of this boot says of a pod.
func (s *Service) recall(ctx context.Context, p *pod) error {
	list, err := s.cfg.Log.Openings(ctx, p.record().ID)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range list {
		// One that cannot be opened is as good as none: what it says is done again.
		if e, err := podlog.Open(o.Record, o.Opening); err == nil {
			p.trace.note(e)
		}
	}
	return nil
}

// announceOrder logs that a revision was accepted and that secrets came for it.
func (s *Service) announceOrder(ctx context.Context, p *pod, rec Record, m *manifest.Manifest, claims [32]byte) error {
	if err := s.announcePod(ctx, p, rec); err != nil {
		return err
	}
	if rec.Release == nil || len(rec.Keys) == 0 && len(rec.Secrets) == 0 {
		return nil
	}
	e := &podlog.KeyRelease{At: s.instant(), PodID: string(rec.ID), Revision: rec.Revision, Claims: claims, Manifest: rec.ManifestDigest}
	for _, c := range m.Containers {
		if c.Image.KeyID != "" {
			e.Containers = append(e.Containers, c.Name)
		}
	}
	return s.measure(ctx, p, e)
}

func (s *Service) announcePod(ctx context.Context, p *pod, rec Record) error {
	return s.measure(ctx, p, &podlog.PodCreate{
		At: s.instant(), PodID: string(rec.ID), Revision: rec.Revision, Publisher: string(rec.Publisher), Manifest: rec.ManifestDigest,
	})
}

// ensureAnnounced logs a stored revision again in the log of a new boot.
func (s *Service) ensureAnnounced(ctx context.Context, p *pod, rec Record) error {
	p.mu.Lock()
	have, ok := p.trace.created[rec.Revision]
	p.mu.Unlock()
	if ok && have == rec.ManifestDigest {
		return nil
	}
	return s.announcePod(ctx, p, rec)
}

// announceExecs logs what the runtime made of an instance.
func (s *Service) announceExecs(ctx context.Context, p *pod, rec Record, m *manifest.Manifest, id InstanceID, made Created) error {
	for _, c := range m.Containers {
		exec, ok := made.Execs[c.Name]
		image, err := manifest.ParseDigest(made.ImageIDs[c.Name])
		if !ok || err != nil {
			return status.Wrap(err, status.Internal, "runtime.readback", "the runtime does not say what container %s will run", c.Name)
		}
		err = s.measure(ctx, p, &podlog.ImageExec{
			At: s.instant(), PodID: string(rec.ID), Instance: string(id), Container: c.Name, CID: c.Image.CID, ImageID: image,
			Args: podlog.ListDigest(exec.Args), Env: podlog.SortedListDigest(exec.Env),
			Mounts: podlog.SortedListDigest(exec.Mounts), Capabilities: podlog.SortedListDigest(exec.Capabilities),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// measured reports whether the log of this boot says what every container of an
// instance is. What it does not say is made again: nothing runs unmeasured.
func (s *Service) measured(p *pod, id InstanceID, m *manifest.Manifest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(m.Containers, func(c manifest.Container) bool { return p.trace.execs[id][c.Name] != c.Image.ImageID })
}

// announceStart logs that an instance will be started.
func (s *Service) announceStart(ctx context.Context, p *pod, rec Record, id InstanceID) error {
	return s.measure(ctx, p, &podlog.PodStart{At: s.instant(), PodID: string(rec.ID), Revision: rec.Revision, Instance: string(id)})
}

// noteStop logs that an instance is gone, which happened already: a log that
// cannot be written keeps nobody's pod from ending.
func (s *Service) noteStop(ctx context.Context, id InstanceID, cause string) {
	pod, rest, _ := strings.Cut(string(id), "-")
	number, _, _ := strings.Cut(rest, "-")
	revision, err := strconv.ParseUint(number, 10, 64)
	s.mu.Lock()
	p := s.pods[PodID(pod)]
	s.mu.Unlock()
	if err != nil || p == nil {
		return
	}
	p.mu.Lock()
	started := p.trace.started[id]
	if !started {
		delete(p.trace.execs, id)
	}
	p.mu.Unlock()
	if !started {
		return
	}
	err = s.measure(ctx, p, &podlog.PodStop{At: s.instant(), PodID: pod, Revision: revision, Instance: string(id), Cause: cause})
	if err != nil && !errors.Is(err, context.Canceled) {
		s.log.Warn("the end of an instance is not in the pod log", "instance", id, "err", err)
	}
}

// podClaims is what is claimed of a pod: its manifest, and the images that the
// runtime reported when it was made. Of a locked pod nothing is claimed: nobody
// vouches for what its record says.
func (p *pod) podClaims() *attest.PodClaims {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rec.Locked {
		return nil
	}
	out := &attest.PodClaims{PodID: string(p.rec.ID), ManifestDigest: p.rec.ManifestDigest[:]}
	m, err := manifest.Unmarshal(p.rec.Manifest)
	if err != nil {
		return out // a pod that failed keeps no manifest
	}
	id := instanceID(p.rec.ID, p.rec.Revision, 0)
	for _, c := range m.Containers {
		if image, ok := p.trace.execs[id][c.Name]; ok {
			out.Images = append(out.Images, attest.ImageClaims{Container: c.Name, CID: c.Image.CID, ImageID: image})
		}
	}
	return out
}
