package buildpod

import (
	"context"
	"time"

	"apocryph/manifest"
	"apocryph/provider"
)

// maxWarm is how many unpacked base images are kept for next jobs, counted per
// namespace and image: each takes the disk of the image.
const maxWarm = 4

// holder is an instance that is never started. The unpacked layers of its image
// stay as long as it does.
type holder struct {
	id   provider.InstanceID
	last time.Time
}

// keepWarm keeps the unpacked base of a job for the next one of its namespace.
// Where that is not possible the next one takes longer.
func (p *Pods) keepWarm(ctx context.Context, j *job, b *base, img *provider.Image) {
	// Another pod than that of the jobs, whose volumes go when it has no instance.
	pod := provider.PodID(string(j.pod) + "-warm")
	id := instanceOf(pod, hash(12, b.id))
	p.mu.Lock()
	h := p.warm[string(id)]
	known := h != nil
	if !known {
		h = &holder{id: id}
		p.warm[string(id)] = h
	}
	h.last = p.cfg.Now()
	var oldest *holder
	if len(p.warm) > maxWarm {
		for _, w := range p.warm {
			if w != h && (oldest == nil || w.last.Before(oldest.last)) {
				oldest = w
			}
		}
		delete(p.warm, string(oldest.id))
	}
	p.mu.Unlock()
	if oldest != nil {
		if err := p.cfg.Runtime.Remove(ctx, oldest.id, 0); err != nil {
			p.log.Warn("removing an unpacked base image", "instance", oldest.id, "err", err)
		}
	}
	if known {
		return
	}
	_, err := p.cfg.Runtime.Create(ctx, provider.InstanceSpec{
		ID: id, Pod: pod, Publisher: publisherOf(j.Namespace), Name: container, Class: "runc", Offline: true,
		Containers: []provider.ContainerSpec{{
			Container: manifest.Container{
				Name: container, Image: b.image, Command: j.Argv[:1],
				Resources: manifest.Resources{CPUMillis: 1000, MemoryBytes: 16 << 20, PIDs: 1},
			},
			Image: img, Key: b.key, AsRoot: true,
		}},
	}, nil)
	if err != nil {
		p.log.Debug("keeping an unpacked base image", "err", err)
		p.mu.Lock()
		delete(p.warm, string(id))
		p.mu.Unlock()
	}
}

// Close removes what is kept in the runtime for next jobs. No job may run.
func (p *Pods) Close(ctx context.Context) error {
	p.mu.Lock()
	held := p.warm
	p.warm = map[string]*holder{}
	p.mu.Unlock()
	for _, h := range held {
		if err := p.cfg.Runtime.Remove(ctx, h.id, 0); err != nil {
			return err
		}
	}
	return nil
}
