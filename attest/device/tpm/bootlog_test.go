package tpm_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/tpm"
)

// bootLog: quotes carry the log that was there at the start, whole or not at all.
func bootLog(t *testing.T, m *attesttest.TPM) {
	path := filepath.Join(t.TempDir(), "log")
	attested := func() attest.Evidence {
		d, err := tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: t.TempDir(), BootLog: path})
		check(t, err)
		defer func() { check(t, d.Close()) }()
		// What changes later is not of this boot.
		_ = os.Remove(path)
		e, err := d.Attest(t.Context(), []byte("claims"))
		check(t, err)
		return e
	}
	if e := attested(); e.BootLog != nil {
		t.Errorf("got %d bytes of no log", len(e.BootLog))
	}
	for _, n := range []int{1, attest.MaxBootLog} {
		want := bytes.Repeat([]byte{7}, n)
		check(t, os.WriteFile(path, want, 0o600))
		e := attested()
		if !bytes.Equal(e.BootLog, want) {
			t.Errorf("got %d bytes, want %d", len(e.BootLog), n)
		}
		check(t, e.Check())
	}
	check(t, os.WriteFile(path, make([]byte, attest.MaxBootLog+1), 0o600))
	if d, err := tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: t.TempDir(), BootLog: path}); err == nil {
		t.Error("a log beyond the cap is taken")
		_ = d.Close()
	}
}
