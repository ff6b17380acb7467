package pull

import (
	"context"
	"sync"
	"time"

	"apocryph/proto/status"
)

const (
	// retry is when a sync that a hint asked for is tried again after the git host
	// could not be reached.
	retry = time.Minute
	// syncTime bounds how long finding and reading a commit may take.
	syncTime = 15 * time.Minute
)

// Run loads what was configured, follows hints and looks at branches, until ctx ends.
func (p *Puller) Run(ctx context.Context) error {
	if err := p.names.load(ctx); err != nil {
		return err
	}
	close(p.ready)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	poll := time.NewTicker(p.set.Every)
	defer poll.Stop()
	again := time.NewTicker(retry)
	defer again.Stop()
	running := &underway{names: map[string]bool{}}
	p.wake()
	for {
		all := false
		select {
		case <-ctx.Done():
			return nil
		case <-p.hint:
		case <-again.C:
		case <-poll.C:
			all = true
		}
		for _, s := range p.names.all() {
			if (s.Hints != s.Seen || all && s.Auto) && running.begin(s.Namespace) {
				wg.Go(func() {
					defer running.end(s.Namespace)
					p.follow(ctx, s)
				})
			}
		}
	}
}

func (p *Puller) wake() {
	select {
	case p.hint <- struct{}{}:
	default:
	}
}

// follow syncs a namespace to the head of its branch.
func (p *Puller) follow(running context.Context, s state) {
	ctx, cancel := context.WithTimeout(running, syncTime)
	defer cancel()
	by := "auto"
	if s.Hints != s.Seen {
		by = "webhook"
	}
	head, err := p.head(ctx, s)
	if err == nil && by == "auto" && (head == s.Commit || head == s.Tried) {
		return
	}
	ended := make(chan struct{})
	d, err := p.Sync(ctx, Request{Namespace: s.Namespace, By: by, ended: ended})
	switch {
	case err == nil:
		p.log.Info("a namespace is synced", "namespace", s.Namespace, "by", by, "commit", d.Source.Commit, "deployment", d.ID)
	case status.CodeOf(err) == status.Unavailable || ctx.Err() != nil:
		p.log.Warn("a namespace cannot be synced now", "namespace", s.Namespace, "by", by, "err", err)
		return
	default:
		p.log.Warn("a namespace is not synced", "namespace", s.Namespace, "by", by, "err", err)
	}
	if err == nil {
		// A change that this process does not end is begun again by the next.
		select {
		case <-ended:
		case <-running.Done():
		}
		if running.Err() != nil {
			return
		}
	}
	_, err = p.names.change(running, s.Namespace, func(now *state, known bool) error {
		if !known {
			return errNone(s.Namespace)
		}
		now.Seen, now.Tried = max(now.Seen, s.Hints), head
		return nil
	})
	if err != nil && status.ReasonOf(err) != "sync.no_repository" {
		p.log.Error("that a hint was followed is not stored", "namespace", s.Namespace, "err", err)
	}
	p.wake()
}

// head is the commit that the branch has now.
func (p *Puller) head(ctx context.Context, s state) (string, error) {
	want, err := s.want("")
	if err != nil {
		return "", err
	}
	r, err := p.set.Sources.Resolve(ctx, want)
	return r.Commit.ID, err
}

// underway is the namespaces that are being followed.
type underway struct {
	mu    sync.Mutex
	names map[string]bool
}

func (u *underway) begin(name string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.names[name] {
		return false
	}
	u.names[name] = true
	return true
}

func (u *underway) end(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.names, name)
}
