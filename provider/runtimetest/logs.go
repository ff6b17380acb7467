package runtimetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"apocryph/proto/status"
	"apocryph/provider"
)

func testLogs(t *testing.T, b *Bench) {
	start := time.Now().Add(-time.Second)
	s := b.Spec("echo", "one", ";", "err", "two", ";", "echo", "three", ";", "exit", "0")
	if _, code := b.Output(s); code != 0 {
		t.Fatal(code)
	}
	streams := map[string]string{"one": "stdout", "two": "stderr", "three": "stdout"}
	lines := b.Logs(provider.LogQuery{Instance: s.ID})
	for i, l := range lines {
		if l.Stream != streams[string(l.Text)] || l.Container != "main" || l.Time.Before(start) || l.Time.After(time.Now()) {
			t.Errorf("line %d: %+v", i, l)
		}
		if i > 0 && l.Time.Before(lines[i-1].Time) {
			t.Errorf("line %d is older than the one before", i)
		}
	}
	if len(lines) != 3 {
		t.Errorf("got %d lines: %q", len(lines), b.Text(s.ID))
	}
	if got := b.Logs(provider.LogQuery{Instance: s.ID, Tail: 2}); len(got) != 2 || string(got[1].Text) != string(lines[2].Text) {
		t.Errorf("the last two are %v", got)
	}
	if got := b.Logs(provider.LogQuery{Instance: s.ID, Tail: 100, Container: "main"}); len(got) != 3 {
		t.Errorf("the last hundred are %d", len(got))
	}
	if got := b.Logs(provider.LogQuery{Instance: s.ID, Since: time.Now()}); len(got) != 0 {
		t.Errorf("since now: %v", got)
	}
	// A second run is added to the first.
	if err := b.Start(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	b.Wait("the second run's lines", func() bool { return len(b.Logs(provider.LogQuery{Instance: s.ID})) == 6 })
	stop := errors.New("enough")
	n := 0
	if err := b.ReadLogs(t.Context(), provider.LogQuery{Instance: s.ID}, func(provider.LogLine) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("the reader's own error: %v after %d lines", err, n)
	}
	for _, q := range []provider.LogQuery{{Instance: "nobody-1-0"}, {Instance: s.ID, Container: "other"}, {Instance: "../x"}} {
		if err := b.ReadLogs(t.Context(), q, func(provider.LogLine) error { return nil }); status.CodeOf(err) != status.NotFound {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func testLogsFollow(t *testing.T, b *Bench) {
	s := b.Spec("echo", "before", ";", "sleep", ";", "echo", "after")
	b.Up(s)
	follow := func(ctx context.Context) (chan string, chan error) {
		lines, done := make(chan string, 16), make(chan error, 1)
		go func() {
			done <- b.ReadLogs(ctx, provider.LogQuery{Instance: s.ID, Follow: true}, func(l provider.LogLine) error {
				lines <- string(l.Text)
				return nil
			})
		}()
		return lines, done
	}
	expect := func(lines chan string, want string) {
		t.Helper()
		select {
		case got := <-lines:
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		case <-time.After(Patience):
			t.Fatalf("waited in vain for %q", want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	lines, done := follow(ctx)
	expect(lines, "before")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the follower ended with %v", err)
	}
	lines, done = follow(t.Context())
	expect(lines, "before")
	b.Gone(s)
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("after the removal: %v", err)
		}
	case <-time.After(Patience):
		t.Error("the follower went on after the removal")
	}
}
