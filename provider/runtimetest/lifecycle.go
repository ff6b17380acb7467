package runtimetest

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"apocryph/proto/status"
	"apocryph/provider"
)

func testLifecycle(t *testing.T, b *Bench) {
	s := b.Spec("sleep")
	if b.Find(s.ID) != nil {
		t.Fatal("listed before it was created")
	}
	var stages []provider.Stage
	var last provider.Progress
	got, err := b.Runtime.Create(t.Context(), s, func(p provider.Progress) { stages, last = append(stages, p.Stage), p })
	if err != nil {
		t.Fatal(err)
	}
	b.cleanup(s)
	if len(stages) == 0 || last.Stage != provider.StageUnpacking || last.Done != last.Total || last.Total == 0 {
		t.Errorf("progress ended with %+v after %d reports, want all bytes unpacked", last, len(stages))
	}
	img, _ := b.Image()
	id := digest.FromBytes(img.Config).String()
	if diff := cmp.Diff(map[string]string{"main": id}, got.ImageIDs); diff != "" {
		t.Errorf("image ids: %s", diff)
	}
	if exec, ok := got.Execs["main"]; !ok || len(got.Execs) != 1 || len(exec.Args) == 0 || exec.Args[0] != Probe {
		t.Errorf("what will run: got %+v", got.Execs)
	}
	if a, err := netip.ParseAddr(got.IP); err != nil || !a.IsValid() {
		t.Errorf("address %q: %v", got.IP, err)
	}
	want := &provider.Instance{
		ID: s.ID, Pod: s.Pod, Publisher: s.Publisher, IP: got.IP,
		Containers: []provider.ContainerState{{Name: "main", ExitCode: -1, ImageID: id}},
	}
	if diff := cmp.Diff(want, b.Find(s.ID)); diff != "" {
		t.Errorf("created: %s", diff)
	}
	// Started, and started again, which does nothing.
	want.Containers[0].Running = true
	for range 2 {
		if err := b.Start(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.Find(s.ID)); diff != "" {
			t.Errorf("started: %s", diff)
		}
	}
	for range 2 {
		if err := b.Remove(t.Context(), s.ID, time.Minute); err != nil {
			t.Fatal(err)
		}
		if in := b.Find(s.ID); in != nil {
			t.Errorf("removed and still listed: %+v", in)
		}
	}
	if err := b.Start(t.Context(), s.ID); status.CodeOf(err) != status.NotFound {
		t.Errorf("starting what was removed: %v", err)
	}
	if err := b.Remove(t.Context(), "../../etc", 0); err != nil {
		t.Errorf("removing what cannot be: %v", err)
	}
}

func testCreateAgain(t *testing.T, b *Bench) {
	s := b.Spec("echo", "first", ";", "sleep")
	b.Up(s)
	s.Containers[0].Args = []string{"echo", "second", ";", "sleep"}
	b.Up(s)
	b.Wait("the second run", func() bool { return b.Text(s.ID) == "second\n" })
}

func testExit(t *testing.T, b *Bench) {
	ctx, cancel := context.WithCancel(t.Context())
	exits := make(chan provider.Exit, 16)
	var wg sync.WaitGroup
	var watchErr error
	wg.Go(func() { watchErr = b.Watch(ctx, func(e provider.Exit) { exits <- e }) })

	s := b.Spec("exit", "7")
	b.Create(s)
	// An exit counts from when the watch has begun, which is not to be seen:
	// the container is run until one is reported. Every run is an exit with 7.
	var got provider.Exit
	b.Wait("an exit", func() bool {
		before := time.Now().Add(-time.Second)
		if err := b.Start(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
		if st := b.Stopped(s.ID, "main"); st.ExitCode != 7 || st.OOMKilled {
			t.Fatalf("state after the end: %+v", st)
		}
		for {
			select {
			case got = <-exits:
				if got.Instance != s.ID {
					continue
				}
				if got.At.Before(before.Add(-Patience)) || got.At.After(time.Now().Add(time.Second)) {
					t.Errorf("exit at %v", got.At)
				}
				return true
			case <-time.After(200 * time.Millisecond):
				return false
			}
		}
	})
	want := provider.Exit{Instance: s.ID, Container: "main", Code: 7, At: got.At}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	cancel()
	wg.Wait()
	if !errors.Is(watchErr, context.Canceled) {
		t.Errorf("the watch ended with %v", watchErr)
	}
}

func testGrace(t *testing.T, b *Bench) {
	ask := b.Spec("sleep", ";", "write", "/keep/said", "bye")
	withVolume(&ask, "keep", "/keep")
	b.Up(ask)
	b.ready(ask)
	start := time.Now()
	if err := b.Remove(t.Context(), ask.ID, Patience); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d >= Patience {
		t.Errorf("a polite container was waited for %v", d)
	}
	look := ask
	look.ID = provider.InstanceID(string(ask.Pod) + "-2-0")
	look.Containers = []provider.ContainerSpec{ask.Containers[0]}
	look.Containers[0].Args = []string{"cat", "/keep/said"}
	if out, code := b.Output(look); out != "bye\n" || code != 0 {
		t.Errorf("what the container did when it was asked to end: %q, %d", out, code)
	}

	deaf := b.Spec("stubborn")
	b.Up(deaf)
	b.ready(deaf)
	start = time.Now()
	if err := b.Remove(t.Context(), deaf.ID, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 300*time.Millisecond {
		t.Errorf("a stubborn container had only %v", d)
	}
}

// ready waits until the program of a container runs and has set up its signals.
func (b *Bench) ready(s provider.InstanceSpec) {
	b.t.Helper()
	b.Wait("the program to run", func() bool {
		code, _, err := b.Exec(b.t.Context(), s.ID, "main", []string{Probe, "echo", "ready"})
		return err == nil && code == 0
	})
}

func testExec(t *testing.T, b *Bench) {
	s := b.Spec("sleep")
	b.Create(s)
	if _, _, err := b.Exec(t.Context(), s.ID, "main", []string{Probe}); status.CodeOf(err) != status.Unavailable {
		t.Errorf("in a container that does not run: %v", err)
	}
	if err := b.Start(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if out, code := b.Run(s.ID, "echo", "out", ";", "err", "err", ";", "exit", "4"); code != 4 || out != "out\nerr" && out != "err\nout" {
		t.Errorf("got %q and %d", out, code)
	}
	for name, c := range map[string]struct {
		id        provider.InstanceID
		container string
		argv      []string
		want      status.Code
	}{
		"unknown instance":  {"nobody-1-0", "main", []string{Probe}, status.NotFound},
		"unknown container": {s.ID, "other", []string{Probe}, status.NotFound},
		"no command":        {s.ID, "main", nil, status.InvalidArgument},
		"no such program":   {s.ID, "main", []string{missingProgram}, status.AppFailed},
	} {
		if _, _, err := b.Exec(t.Context(), c.id, c.container, c.argv); status.CodeOf(err) != c.want {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := b.Exec(ctx, s.ID, "main", []string{Probe, "stubborn"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a command that takes too long: %v", err)
	}
	if out, _ := b.Run(s.ID, "echo", "still here"); out != "still here" {
		t.Errorf("after that: %q", out)
	}
}

func testContainers(t *testing.T, b *Bench) {
	s := b.Spec("host", "side", ";", "host", "main", ";", "echo", "found", ";", "sleep")
	s.Containers = append(s.Containers, b.Container("side", "exit", "5"))
	b.Up(s)
	if st := b.Stopped(s.ID, "side"); st.ExitCode != 5 {
		t.Errorf("side ended with %+v", st)
	}
	b.Wait("main to find side", func() bool { return b.Text(s.ID) == "found\n" })
	in := b.Find(s.ID)
	if len(in.Containers) != 2 || in.Containers[0].Name != "main" || !in.Containers[0].Running {
		t.Errorf("one container's end must not end the other: %+v", in)
	}
	// Starting the instance starts what does not run.
	if err := b.Start(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	b.Stopped(s.ID, "side")
}

func testParallel(t *testing.T, b *Bench) {
	const n = 6
	specs := make([]provider.InstanceSpec, n)
	for i := range specs {
		specs[i] = b.Spec("sleep")
	}
	ips := make([]string, n)
	var wg sync.WaitGroup
	for i, s := range specs {
		wg.Go(func() {
			got, err := b.Runtime.Create(t.Context(), s, nil)
			if err == nil {
				err = b.Start(t.Context(), s.ID)
			}
			if err != nil {
				t.Errorf("instance %d: %v", i, err)
			}
			ips[i] = got.IP
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for i, s := range specs {
		if in := b.Find(s.ID); in == nil || !in.Containers[0].Running {
			t.Errorf("instance %d is %+v", i, in)
		}
		if seen[ips[i]] {
			t.Errorf("address %s was given twice", ips[i])
		}
		seen[ips[i]] = true
	}
	for _, s := range specs {
		wg.Go(func() {
			if err := b.Remove(t.Context(), s.ID, 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
