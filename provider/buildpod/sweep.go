package buildpod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"apocryph/provider"
)

// Sweep removes what builds of an earlier process have left: instances, volumes
// of jobs, and marks of caches that are gone. It is called before the first Run.
// Caches stay, and so do sealed base images, up to as many as are ever kept.
func (p *Pods) Sweep(ctx context.Context) error {
	have, err := p.cfg.Runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("looking for left-over builds: %w", err)
	}
	pods := map[provider.PodID]bool{}
	var errs error
	for _, in := range have {
		if !in.ID.Build() {
			continue
		}
		pods[in.Pod] = true
		p.log.Info("removing a left-over build", "instance", in.ID)
		errs = errors.Join(errs, p.cfg.Runtime.Remove(ctx, in.ID, 0))
	}
	disks, err := p.cfg.Disks.List()
	errs = errors.Join(errs, err)
	for _, disk := range disks {
		pod, volume, ok := isDisk(disk)
		if !ok {
			continue
		}
		pods[pod] = true
		if strings.HasPrefix(volume, scratchPrefix) {
			errs = errors.Join(errs, p.cfg.Disks.Remove(ctx, disk))
		}
	}
	for pod := range pods {
		errs = errors.Join(errs, p.forget(ctx, pod))
	}
	errs = errors.Join(errs, p.sweepMarks(disks), p.sweepImages(ctx))
	if errs != nil {
		return fmt.Errorf("removing left-over builds: %w", errs)
	}
	return nil
}

func (p *Pods) sweepMarks(disks []string) error {
	marks, err := os.ReadDir(p.marks())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, m := range marks {
		if !slices.Contains(disks, m.Name()) {
			err = errors.Join(err, os.Remove(filepath.Join(p.marks(), m.Name())))
		}
	}
	return err
}

// sweepImages releases images of builds that are no base, and bases that are
// too many.
func (p *Pods) sweepImages(ctx context.Context) error {
	owners, err := p.cfg.Images.Owners(ctx)
	for _, o := range owners {
		if o.Build() && !strings.HasPrefix(string(o), basePrefix) {
			err = errors.Join(err, p.cfg.Images.Release(ctx, o))
		}
	}
	return errors.Join(err, p.dropBases(ctx, "none"))
}
