package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

const (
	// updateCount is how often the app is updated.
	updateCount = 20
	// keptConnections ask without a pause over one connection each,
	// newConnections over another one for each request.
	keptConnections, newConnections = 4, 2
)

// updates replaces an app while it is asked without a pause.
func (b *bench) updates(ctx context.Context) (err error) {
	bin := filepath.Join(b.dir, "sample-app")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "./e2e/sample/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if err := must(cmd); err != nil {
		return err
	}
	d, err := b.openDoor(ctx, "updates")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.leave(ctx)) }()
	id, err := d.artifact(ctx, "sample")
	if err != nil {
		return err
	}
	f, err := os.Open(bin)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = d.upload(ctx, id, f, info.Size())
	}
	if err != nil {
		return err
	}
	var app object
	if err := d.call(ctx, http.MethodPost, "/api/v1/apps", map[string]string{"name": "web"}, &app); err != nil {
		return err
	}
	if err := d.update(ctx, app.ID, id, 0); err != nil {
		return err
	}
	b.settle(ctx)
	asking, stop := context.WithCancel(ctx)
	defer stop()
	load := d.load(asking, "web-default.localhost")
	var took sample
	for i := range updateCount {
		note("update %d of %d", i+1, updateCount)
		start := time.Now()
		if err := d.update(ctx, app.ID, id, i+1); err != nil {
			return err
		}
		took = append(took, time.Since(start).Seconds()*1000)
	}
	stop()
	asked, dropped, why := load()
	for _, err := range why {
		note("dropped: %v", err)
	}
	measure := fmt.Sprintf("%d updates under load, %d connections that are kept and %d that are new each time: requests dropped of %d", updateCount, keptConnections, newConnections, asked)
	// No aim of the table is a figure of 0.
	b.table.add(row{measure: measure, ours: sample{float64(dropped)}, yardstick: "-"})
	b.table.add(row{measure: "the same: an update, call to healthy and switched", ours: took, yardstick: "-", unit: "ms"})
	return nil
}

// update deploys the artifact with another environment, and returns when it serves.
func (d *door) update(ctx context.Context, app, artifact string, n int) error {
	var made, ended object
	err := d.call(ctx, http.MethodPost, "/api/v1/apps/"+app+"/deployments", map[string]any{
		"artifact_id": artifact, "process_type": "tish", "replicas": 1, "environment": "production",
		"networking": map[string]any{"port": 8080, "health_path": "/"}, "env": map[string]string{"GREETING": fmt.Sprint("update ", n)},
	}, &made)
	if err == nil {
		err = d.call(ctx, http.MethodGet, "/api/v1/deployments/"+made.ID+"/wait?timeout=120s", nil, &ended)
	}
	if err == nil && ended.Status != "succeeded" {
		err = fmt.Errorf("the deployment is %s: %v", ended.Status, ended.Error)
	}
	return err
}

// load asks an app through the ingress until ctx ends. The function that it
// returns waits for the last answer and says how many requests there were, how
// many of them had none with 200, and why the first ones had not.
func (d *door) load(ctx context.Context, host string) func() (asked, dropped int, why []error) {
	var mu sync.Mutex // guards what follows
	var asked, dropped int
	var why []error
	var group sync.WaitGroup
	for i := range keptConnections + newConnections {
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: i >= keptConnections}}
		group.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				// Not ended with ctx: a request that this program gives up is not dropped.
				err := ask(context.WithoutCancel(ctx), client, d.info.Ingress, host)
				mu.Lock()
				asked++
				if err != nil {
					if dropped++; dropped <= shownLosses {
						why = append(why, err)
					}
				}
				mu.Unlock()
			}
		})
	}
	return func() (int, int, []error) {
		group.Wait()
		return asked, dropped, why
	}
}
