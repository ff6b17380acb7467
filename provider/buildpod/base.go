package buildpod

import (
	"context"
	"fmt"
	"strings"
	"time"

	"apocryph/manifest"
	"apocryph/p2p/oci"
	"apocryph/provider"
)

// maxBases is how many base images are kept sealed between jobs.
const maxBases = 16

// basePrefix begins the owners of base images, after which comes the image's
// name and what tells the seals of different processes apart.
const basePrefix = provider.BuildPrefix + "base-"

// base is a base image that is sealed and here.
type base struct {
	owner provider.InstanceID
	image manifest.Image
	key   []byte
	id    string
	// jobs is how many use it, last when one did.
	jobs int
	last time.Time
}

// base seals an image for this process, once. Layers that an earlier process
// has sealed are in the importer's cache, because their pins outlive it.
func (p *Pods) base(ctx context.Context, img *oci.Image) (*base, error) {
	id := imageID(img)
	select {
	case p.importing <- struct{}{}:
		defer func() { <-p.importing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if b := p.knownBase(id); b != nil {
		return b, nil
	}
	prefix := basePrefix + hash(20, id) + "-"
	owner := provider.InstanceID(prefix + newID())
	image, key, err := p.cfg.Importer.Import(ctx, img, owner, nil)
	if err != nil {
		return nil, err
	}
	if err := p.cfg.step("sealed"); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.bases[id] = &base{owner: owner, image: image, key: key, id: id, jobs: 1, last: p.cfg.Now()}
	b := p.bases[id]
	p.mu.Unlock()
	if err := p.dropBases(ctx, prefix); err != nil {
		p.doneWith(b)
		return nil, err
	}
	return b, nil
}

func (p *Pods) knownBase(id string) *base {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.bases[id]
	if b != nil {
		b.jobs++
		b.last = p.cfg.Now()
	}
	return b
}

func (p *Pods) doneWith(b *base) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.jobs--
}

// dropBases releases what earlier processes have sealed of an image that is
// sealed anew, and the least recently used where there are too many.
func (p *Pods) dropBases(ctx context.Context, prefix string) error {
	owners, err := p.cfg.Images.Owners(ctx)
	if err != nil {
		return fmt.Errorf("listing base images: %w", err)
	}
	p.mu.Lock()
	mine := map[provider.InstanceID]*base{}
	for _, b := range p.bases {
		mine[b.owner] = b
	}
	var drop, earlier []provider.InstanceID
	for _, o := range owners {
		switch {
		case !strings.HasPrefix(string(o), basePrefix) || mine[o] != nil:
		case strings.HasPrefix(string(o), prefix):
			drop = append(drop, o)
		default:
			earlier = append(earlier, o)
		}
	}
	for len(mine)+len(earlier) > maxBases && len(earlier) > 0 {
		drop, earlier = append(drop, earlier[0]), earlier[1:]
	}
	for len(mine) > maxBases {
		var oldest *base
		for _, b := range mine {
			if b.jobs == 0 && (oldest == nil || b.last.Before(oldest.last)) {
				oldest = b
			}
		}
		if oldest == nil {
			break
		}
		drop = append(drop, oldest.owner)
		delete(mine, oldest.owner)
		delete(p.bases, oldest.id)
	}
	p.mu.Unlock()
	for _, o := range drop {
		if err := p.cfg.Images.Release(ctx, o); err != nil {
			p.log.Warn("releasing a base image", "owner", o, "err", err)
		}
	}
	return nil
}
