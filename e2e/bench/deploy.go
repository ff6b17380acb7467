package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// ground is a provider and a publisher who may deploy to it.
type ground struct {
	b      *bench
	p      *provider
	home   string
	policy string
	// apps are those that were deployed and not deleted.
	apps map[string]bool
}

func (b *bench) ground(ctx context.Context, name string) (*ground, error) {
	p, err := b.provider(ctx, name+"-provider", "--tee", "soft")
	if err != nil {
		return nil, err
	}
	g := &ground{b: b, p: p, home: name, apps: map[string]bool{}}
	if g.policy, err = b.policy(ctx, name, p); err != nil {
		p.stop()
		return nil, err
	}
	return g, nil
}

// manifest writes the manifest of an app. Memory bounds its page cache too.
func (g *ground) manifest(name, image string) (string, error) {
	path := filepath.Join(g.b.dir, name+".yaml")
	return path, os.WriteFile(path, fmt.Appendf(nil, `name: %s
containers:
  - name: web
    image: oci:%s
    port: 8080
    resources: {cpu: "1", memory: 64Mi}
    health: {http: /}
`, name, image), 0o600)
}

// deployed is how a deploy went.
type deployed struct {
	// answer is from the start of the command to the app's first answer.
	answer time.Duration
	// moments are when each step ended, in milliseconds.
	moments []moment
	// peakKB is the most memory that the publisher held.
	peakKB float64
}

type moment struct {
	name string
	ms   float64
}

// deploy runs `publisher deploy` and watches its events.
func (g *ground) deploy(ctx context.Context, name, image string) (*deployed, error) {
	path, err := g.manifest(name, image)
	if err != nil {
		return nil, err
	}
	cmd := g.b.publisher(ctx, g.home, "--listen", "/ip4/127.0.0.1/tcp/0", "deploy", path, "--provider", g.p.addr(), "--policy", g.policy)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	cmd.Stderr = &text
	d := &deployed{}
	start := time.Now()
	at := func(name string, t time.Time) {
		d.moments = append(d.moments, moment{name, float64(t.Sub(start)) / 1e6})
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g.apps[name] = true
	done := make(chan struct{})
	peak := make(chan float64, 1)
	go func() { peak <- watchPeak(cmd, done) }()
	stage := ""
	for s := bufio.NewScanner(out); s.Scan(); {
		now := time.Now()
		var e struct {
			Event, Stage string
			Final        bool
		}
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			continue
		}
		switch e.Event {
		case "seal":
			if e.Final {
				at("publisher: image sealed", now)
			}
		case "provision":
			if e.Stage != stage {
				stage = e.Stage
				at("publisher: hears "+stage, now)
			}
		case "answer":
			d.answer = now.Sub(start)
			at("publisher: the app answered", now)
		default:
			at("publisher: "+e.Event, now)
		}
	}
	err = cmd.Wait()
	at("publisher: command ended", time.Now())
	close(done)
	d.peakKB = <-peak
	if err != nil || d.answer == 0 {
		return nil, fmt.Errorf("deploying %s: %w\n%s", name, err, text.String())
	}
	for state, t := range g.p.states(name) {
		at("provider: "+state, t)
	}
	return d, nil
}

// watchPeak follows the peak of a process's memory until done.
func watchPeak(cmd *exec.Cmd, done <-chan struct{}) (peak float64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		peak = max(peak, statusKB(cmd.Process.Pid, "VmHWM"))
		select {
		case <-done:
			return peak
		case <-tick.C:
		}
	}
}

func (g *ground) delete(ctx context.Context, name string) error {
	delete(g.apps, name)
	return must(g.b.publisher(ctx, g.home, "delete", name))
}

// leave deletes what was deployed and stops the provider, also when the run was
// interrupted.
func (g *ground) leave(ctx context.Context) error {
	var errs []error
	for name := range g.apps {
		errs = append(errs, g.delete(context.WithoutCancel(ctx), name))
	}
	g.p.stop()
	return errors.Join(errs...)
}

// keeper is the app that stays while others come and go: it keeps the image at
// the provider, and lends its bundle to the yardstick.
const keeper = "keeper"

// warm deploys an image that is at the provider already under new names.
func (b *bench) warm(ctx context.Context) (err error) {
	img, err := b.image(ctx, 0, 0)
	if err != nil {
		return err
	}
	g, err := b.ground(ctx, "warm")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.leave(ctx)) }()
	if _, err := g.deploy(ctx, keeper, img); err != nil {
		return err
	}
	u, err := b.bundleOf(g.p, keeper)
	if err != nil {
		return err
	}
	layers, err := layersOf(img)
	if err == nil {
		err = u.unpack(layers)
	}
	if err != nil {
		return err
	}
	var ours, runc sample
	parts := steps{title: "Warm deploy, step by step (medians)."}
	for i := range b.n {
		note("deploying warm, %d of %d", i+1, b.n)
		b.settle(ctx)
		t, err := u.run(ctx)
		if err != nil {
			return err
		}
		runc = append(runc, t.Seconds()*1000)
		name := fmt.Sprintf("warm-%d", i)
		b.settle(ctx)
		d, err := g.deploy(ctx, name, img)
		if err != nil {
			return err
		}
		ours = append(ours, d.answer.Seconds()*1000)
		for _, m := range d.moments {
			parts.add(m.name, m.ms)
		}
		if err := g.delete(ctx, name); err != nil {
			return err
		}
	}
	b.table.add(row{measure: "warm deploy, command to first answer", ours: ours, yardstick: "runc run, same configuration", theirs: runc, unit: "ms", most: 2.5})
	parts.sort()
	b.table.steps = append(b.table.steps, parts)
	return nil
}
