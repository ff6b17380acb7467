package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"apocryph/proto/status"
)

func holdLock(dir string) {
	s, err := Open(dir)
	if err == nil {
		_, err = s.Lock("app")
	}
	fmt.Println(err)
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestDeployLock(t *testing.T) {
	s := newState(t)
	release, err := s.Lock("app")
	must(t, err)
	_, err = s.Lock("app")
	refused(t, err, status.Conflict, "another deploy of app", fmt.Sprintf("process %d", os.Getpid()))
	other, err := s.Lock("app2")
	must(t, err)
	other()
	// The lock of a deploy does not keep its own records from being written.
	must(t, s.Save(t.Context(), sample("app", "P1")))
	release()
	again, err := s.Lock("app")
	must(t, err)
	again()
}

// TestDeployLockOfAnotherProcess locks in a process and kills it.
func TestDeployLockOfAnotherProcess(t *testing.T) {
	s := newState(t)
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperEnv+"="+s.dir)
	in, err := cmd.StdinPipe()
	must(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := make([]byte, len("<nil>"))
	if _, err := out.Read(said); err != nil || string(said) != "<nil>" {
		t.Fatalf("the helper said %q, %v", said, err)
	}
	_, err = s.Lock("app")
	refused(t, err, status.Conflict, fmt.Sprintf("process %d", cmd.Process.Pid))
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	release, err := s.Lock("app")
	must(t, err)
	release()
}

// TestWaitLock says once that it waits, and not when it has not to.
func TestWaitLock(t *testing.T) {
	s := newState(t)
	release, err := s.WaitLock(t.Context(), "content", func() { t.Error("waited for nobody") })
	must(t, err)
	said := 0
	again, err := s.WaitLock(t.Context(), "content", func() {
		said++
		release()
	})
	must(t, err)
	again()
	if said != 1 {
		t.Errorf("said %d times that it waits", said)
	}
}

// TestNoUpdateIsLost changes one record from many goroutines with states of their own, as processes have.
func TestNoUpdateIsLost(t *testing.T) {
	s := newState(t)
	must(t, s.Save(t.Context(), sample("app", "P1")))
	const writers, times = 8, 5
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			own, err := Open(s.dir)
			if err != nil {
				t.Error(err)
				return
			}
			for range times {
				if err := own.update(t.Context(), "app", "P1", func(r *record) error { r.Revision++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Get(t.Context(), "app", "")
	must(t, err)
	if want := sample("", "").Revision + writers*times; got.Revision != want {
		t.Errorf("revision %d, want %d", got.Revision, want)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	s := newState(t)
	release, err := s.change(t.Context())
	must(t, err)
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 3*pollEvery)
	defer cancel()
	if err := s.Save(ctx, sample("app", "P1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
