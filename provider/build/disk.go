package build

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"apocryph/proto/status"
)

// diskError classifies an error of writing layers. The cause stays here.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return status.Wrap(err, status.ResourceExhausted, "build.disk", "there is no space left to build the image").
			WithHint("try again later, or with fewer files")
	}
	return fmt.Errorf("writing layer: %w", err)
}

// onceUntilDone calls f until it has succeeded once.
func onceUntilDone(f func() error) func() error {
	var (
		mu   sync.Mutex
		done bool
	)
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return nil
		}
		err := f()
		done = err == nil
		return err
	}
}
