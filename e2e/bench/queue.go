package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// queuedBuilds are in the queue at once, of queuedNamespaces: eight of one may wait.
	queuedBuilds, queuedNamespaces = 50, 7
	// noRevision is one that no app has, so that the order is refused once the
	// build has made its image, and no pod is part of what is measured.
	noRevision = 1_000_000
)

// queued has commits built, each another one, and by hand one after the other.
func (b *bench) queued(ctx context.Context, d *door, r *repository) error {
	first := r.revision + 1
	for range queuedBuilds {
		if err := r.commit(ctx); err != nil {
			return err
		}
	}
	note("building %d commits by hand", queuedBuilds)
	b.settle(ctx)
	start := time.Now()
	for i := range queuedBuilds {
		if err := b.buildByHand(ctx, r, fmt.Sprintf("v%d", first+i)); err != nil {
			return err
		}
	}
	byHand := time.Since(start)
	note("building %d commits", queuedBuilds)
	pid := d.cmd.Process.Pid
	if err := forgetPeak(pid); err != nil {
		return err
	}
	idle, used := statusKB(pid, "VmRSS"), processorTime(pid)
	b.settle(ctx)
	start = time.Now()
	ids := make([]string, queuedBuilds)
	for i := range ids {
		var err error
		if ids[i], err = d.submitCommit(ctx, i, fmt.Sprintf("v%d", first+i), r); err != nil {
			return err
		}
	}
	submitted := time.Since(start)
	for _, id := range ids {
		if err := d.built(ctx, id); err != nil {
			return err
		}
	}
	ours := time.Since(start)
	rate := func(t time.Duration) sample { return sample{queuedBuilds / t.Seconds()} }
	b.table.add(row{
		measure: fmt.Sprintf("%d commits in the queue: built", queuedBuilds), ours: rate(ours),
		yardstick: "git clone, tar, sha256, openssl enc, sha256, sync: one after the other", theirs: rate(byHand), unit: "/s", least: 0.8,
	})
	b.table.add(row{measure: "the same: until all are in the queue", ours: sample{submitted.Seconds() * 1000}, yardstick: "-", unit: "ms"})
	b.table.add(row{measure: "the same: provider's own time of a processor, each", ours: sample{(processorTime(pid) - used).Seconds() * 1000 / queuedBuilds}, yardstick: "-", unit: "ms"})
	b.table.add(row{measure: "the same: provider, RSS from idle to peak", ours: sample{(statusKB(pid, "VmHWM") - idle) * 1024 / 1e6}, yardstick: "-", unit: "MB", most: 64})
	return nil
}

// handScript makes a layer of a commit and seals it, with what every machine has.
const handScript = `set -eu
rm -rf "$1"; mkdir "$1"
git -c advice.detachedHead=false clone --quiet --depth=1 --branch "$3" "$2" "$1/app"
tar --create --sort=name --mtime=@0 --owner=0 --group=0 --exclude=.git --directory "$1" --file "$1/layer.tar" app
sha256sum "$1/layer.tar" >"$1/layer.sum"
openssl enc -aes-256-ctr -pass file:"$1/layer.sum" -pbkdf2 -iter 1 -in "$1/layer.tar" -out "$1/blob"
sha256sum "$1/blob" >"$1/blob.sum"
sync "$1/blob" "$1"
`

func (b *bench) buildByHand(ctx context.Context, r *repository, tag string) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", handScript, "sh", filepath.Join(b.dir, "by-hand"), r.url(), tag)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	return must(cmd)
}

// submitCommit orders a deploy that fails once its build has succeeded.
func (d *door) submitCommit(ctx context.Context, i int, tag string, r *repository) (string, error) {
	body := fmt.Sprintf(`{"name":"queued-%d","namespace":"queue-%d","source":%q,"ref":%q,"port":8080,"expected_revision":%d}`,
		i, i%queuedNamespaces, r.url(), tag, noRevision)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url("/deploy"), strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "respond-async")
	res, err := d.client.Do(req)
	if _, err := answered(res, err); err != nil {
		return "", err
	}
	return strings.TrimPrefix(res.Header.Get("Location"), "/api/v1/deployments/"), nil
}

// built waits for the end of a deployment, whose build must have succeeded.
func (d *door) built(ctx context.Context, id string) error {
	t, err := d.follow(ctx, http.MethodGet, "/api/v1/deployments/"+id+"/events", nil, time.Now())
	if err != nil {
		return err
	}
	var made object
	if t.build == "" {
		return errors.New("a deployment without a build: " + t.failure)
	}
	if err := d.call(ctx, http.MethodGet, "/api/v1/builds/"+t.build, nil, &made); err != nil {
		return err
	}
	if made.Status != "succeeded" {
		return fmt.Errorf("build %s has %s: %s", t.build, made.Status, t.failure)
	}
	return nil
}

// follow calls what streams events, and listens to the end.
func (d *door) follow(ctx context.Context, method, path string, body io.Reader, start time.Time) (*told, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.url(path), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	res, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		_, err := answered(res, nil)
		return nil, err
	}
	t := &told{at: map[string]time.Duration{}}
	return t, errors.Join(t.listen(res.Body, start), res.Body.Close())
}
