package measure

import (
	"context"
	"errors"
	"testing"

	"apocryph/attest/attesttest"
	"apocryph/attest/device/tpm"
	"apocryph/attest/podlog"
	"apocryph/proto/status"
	"apocryph/provider"
)

// killing is a register at whose next extension the process dies: before it, or
// when the TPM has done it and nobody was told.
type killing struct {
	provider.Register
	when string
}

func (k *killing) Extend(ctx context.Context, small [32]byte, large [48]byte) error {
	if k.when == "before" {
		panic(crashed{})
	}
	err := k.Register.Extend(ctx, small, large)
	if k.when == "after" {
		panic(crashed{})
	}
	if k.when == "untold" {
		k.when = ""
		return errors.Join(err, errRegister)
	}
	return err
}

// The same as with a fake register, on a TPM: kills around the extension, a
// reset, and another program that extends the register.
func TestTPM(t *testing.T) {
	chip := attesttest.SWTPM(t)
	d, err := tpm.Open(t.Context(), tpm.Config{Path: chip.Path, StateDir: t.TempDir()})
	must(t, err)
	defer func() { must(t, d.Close()) }()
	m, k, dir := newMachine(), &killing{Register: d.Register()}, t.TempDir()
	life := func(events int) (*Log, provider.HeldLog) {
		t.Helper()
		cfg := config(dir, k)
		cfg.Epoch, err = d.BootEpoch(t.Context())
		must(t, err)
		l, _ := start(t, cfg, m)
		for n := range events {
			must(t, l.Append(t.Context(), "pod", event("pod", n)))
		}
		h, err := l.Hold(t.Context())
		must(t, err)
		h.Release()
		small, large, err := d.Register().Values(t.Context())
		must(t, err)
		for _, b := range []struct {
			bank  podlog.Bank
			value []byte
		}{{podlog.SHA256, small}, {podlog.SHA384, large}} {
			if _, err := podlog.CheckReplay(h.Records, podlog.Head{}, b.bank, b.value); err != nil {
				t.Errorf("%s: %v", b.bank, err)
			}
		}
		return l, h
	}
	l, _ := life(2)
	must(t, l.Close())
	for i, when := range []string{"before", "after", "before", "after"} {
		k.when = when
		if !dies(func() { life(1) }) {
			t.Fatal("nobody died")
		}
		k.when = ""
		l, h := life(0)
		if len(h.Records) != 3+i {
			t.Errorf("killed %s it: got %d records, want %d", when, len(h.Records), 3+i)
		}
		must(t, l.Close())
	}
	k.when = "untold"
	l, h := life(1)
	if len(h.Records) != 7 {
		t.Errorf("got %d records", len(h.Records))
	}
	must(t, l.Close())

	chip.Restart(t)
	l, h = life(1)
	if len(h.Records) != 1 {
		t.Errorf("after a reset: got %d records", len(h.Records))
	}
	must(t, l.Close())

	chip.Extend(t, 14, [32]byte{1})
	cfg := config(dir, d.Register())
	cfg.Epoch, err = d.BootEpoch(t.Context())
	must(t, err)
	_, err = Open(t.Context(), cfg)
	refused(t, err, status.Untrusted, "podlog.register")
}
