package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// source builds a small Python app from commits of a repository on this machine.
func (b *bench) source(ctx context.Context) (err error) {
	r, err := b.repository(ctx, "app")
	if err != nil {
		return err
	}
	d, err := b.sourceDoor(ctx, "source", r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.leave(ctx)) }()
	if err := b.commits(ctx, d, r); err != nil {
		return err
	}
	if err := b.rebuild(ctx, d, r); err != nil {
		return err
	}
	return b.queued(ctx, d, r)
}

// sourceDoor is a provider that builds from a repository of this machine.
func (b *bench) sourceDoor(ctx context.Context, name string, r *repository) (*door, error) {
	p, err := b.provider(ctx, name+"-provider", "--tee", "soft", "--bases", b.bases, "--git-allow-file", r.dir)
	if err != nil {
		return nil, err
	}
	d := &door{provider: p, b: b, client: &http.Client{}}
	if d.token, err = d.newToken(ctx, name); err != nil {
		p.stop()
		return nil, err
	}
	return d, nil
}

// told is what the events of a deployment from source say.
type told struct {
	// order are the steps, at is when each began.
	order   []string
	at      map[string]time.Duration
	build   string
	failure string
	// moved are the bytes that were fetched, as the build's log says.
	moved int64
}

// listen reads a stream of server-sent events to its end.
func (t *told) listen(r io.Reader, start time.Time) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if line, ok := bytes.CutPrefix(s.Bytes(), []byte("data: ")); ok {
			t.hear(line, start)
		}
	}
	return s.Err()
}

// hear notes what an event says. A step begins where it is first told of.
func (t *told) hear(line []byte, start time.Time) {
	var e struct {
		Kind, Text string
		At         time.Time
		Deployment *struct {
			Stage   string
			BuildID string `json:"build_id"`
			Error   *struct{ Code, Detail string }
		}
	}
	if json.Unmarshal(line, &e) != nil {
		return
	}
	step := ""
	switch {
	case e.Deployment != nil:
		step = e.Deployment.Stage
		t.build = e.Deployment.BuildID
		if f := e.Deployment.Error; f != nil {
			t.failure = f.Code + ": " + f.Detail
		}
	case e.Kind == "log" && strings.HasPrefix(e.Text, "fetched "):
		words := strings.Fields(e.Text)
		t.moved, _ = strconv.ParseInt(words[len(words)-2], 10, 64)
	case e.Kind == "progress":
		step = e.Text
	}
	if _, known := t.at[step]; known || step == "" {
		return
	}
	t.order = append(t.order, step)
	t.at[step] = e.At.Sub(start)
}

// commits deploys commits, each as a new app, in turn with doing it by hand.
func (b *bench) commits(ctx context.Context, d *door, r *repository) error {
	if _, err := d.toFirst(ctx, keeper, r, nil); err != nil {
		return err
	}
	u, err := b.bundleOf(d.provider, keeper)
	if err != nil {
		return err
	}
	if err := u.unpackBase(ctx, filepath.Join(b.bases, "python")); err != nil {
		return err
	}
	var ours, hand sample
	parts := steps{title: "POST /deploy of a commit, step by step (medians)."}
	for i := range b.n {
		note("deploying a commit, %d of %d", i+1, b.n)
		if err := r.commit(ctx); err != nil {
			return err
		}
		b.settle(ctx)
		t, err := u.byHand(ctx, r)
		if err != nil {
			return err
		}
		hand = append(hand, t.Seconds()*1000)
		b.settle(ctx)
		first, err := d.toFirst(ctx, fmt.Sprintf("commit-%d", i), r, &parts)
		if err != nil {
			return err
		}
		ours = append(ours, first.Seconds()*1000)
	}
	parts.sort()
	b.table.steps = append(b.table.steps, parts)
	b.table.add(row{measure: "commit of a small Python app to first 200, base image warm", ours: ours, yardstick: "git clone, copy into the base, `runc run`", theirs: hand, unit: "ms", most: 2})
	return nil
}

// toFirst deploys the last commit as an app until its first 200. Apps with parts
// are deleted.
func (d *door) toFirst(ctx context.Context, app string, r *repository, parts *steps) (time.Duration, error) {
	start := time.Now()
	body := fmt.Sprintf(`{"name":%q,"source":%q,"ref":%q,"port":8080}`, app, r.url(), r.tag())
	t, err := d.follow(ctx, http.MethodPost, "/deploy", strings.NewReader(body), start)
	if err != nil {
		return 0, err
	}
	if t.failure != "" {
		return 0, fmt.Errorf("deploying %s of %s: %s", r.tag(), r.dir, t.failure)
	}
	for {
		if err = ask(ctx, d.client, d.info.Ingress, app+"-default.localhost"); err == nil {
			break
		}
		if time.Since(start) > startTime {
			return 0, err
		}
	}
	first := time.Since(start)
	d.moved = t.moved
	if parts == nil {
		return first, nil
	}
	for _, step := range t.order {
		parts.add("(begins) "+step, float64(t.at[step])/1e6)
	}
	parts.add("first 200", first.Seconds()*1000)
	var made object
	if err := d.call(ctx, http.MethodGet, "/api/v1/apps/default/"+app, nil, &made); err != nil {
		return 0, err
	}
	return first, d.call(ctx, http.MethodDelete, "/api/v1/apps/"+made.ID, nil, nil)
}
