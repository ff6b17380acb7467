package vault

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The modes of this program as a child, and what they are given.
const (
	childEnv = "APOCRYPH_VAULT_CHILD"
	dirEnv   = "APOCRYPH_VAULT_DIR"
	stepEnv  = "APOCRYPH_VAULT_STEP"
	kindEnv  = "APOCRYPH_VAULT_KIND"
)

func child(mode string) error {
	cfg := config(os.Getenv(dirEnv))
	cfg.Kind = Kind(os.Getenv(kindEnv))
	cfg.step = func(name string) {
		if name == os.Getenv(stepEnv) {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		}
	}
	switch mode {
	case "wait":
		// Somebody with a user namespace to lend.
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	case "read":
		b, err := os.ReadFile(os.Getenv(dirEnv))
		if err == nil && string(b) != passed {
			err = fmt.Errorf("the file has %q", b)
		}
		return err
	}
	v, err := Open(context.Background(), cfg)
	if err != nil {
		return err
	}
	switch mode {
	case "open":
		err = os.WriteFile(filepath.Join(v.Path(), "from-child"), []byte(passed), 0o600)
	case "volume":
		_, err = v.Volume(context.Background(), "vol", testKey(1), testSize)
	case "grow":
		_, err = v.Volume(context.Background(), "vol", testKey(1), 2*testSize)
	case "remove":
		err = v.RemoveVolume(context.Background(), "vol")
	}
	if err != nil {
		return err
	}
	// It never gets to say goodbye.
	return unix.Kill(os.Getpid(), unix.SIGKILL)
}

// passed is what files have that one process writes and another reads.
const passed = "passed from process to process"
