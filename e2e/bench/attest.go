package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	attestation "apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/tpm"
	"apocryph/attest/policy"
	"apocryph/attest/tpmtemplate"
	"apocryph/publisher/publisherd"
)

// attestRounds is how many calls make one timing.
const attestRounds = 20

// attest measures the whole call, from a connected publisher to its verdict,
// beside what another software TPM takes for the quote alone.
func (b *bench) attest(ctx context.Context) (err error) {
	t := &maker{ctx: ctx}
	defer t.finish(&err)
	chip := attesttest.SWTPM(t)
	other := chip.Sibling(t)
	p, err := b.provider(ctx, "tpm-provider", "--tee", "tpm2", "--tpm", chip.Path)
	if err != nil {
		return err
	}
	defer p.stop()
	file, err := b.policy(ctx, "tpm", p)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	pol, err := policy.Parse(text)
	if err != nil {
		return err
	}
	state := filepath.Join(b.dir, "tpm-state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return err
	}
	device, err := tpm.Open(ctx, tpm.Config{Path: other.Path, StateDir: state, LockDir: state})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	if _, err := device.Identity(ctx); err != nil {
		return err
	}
	quote := func() error {
		_, err := device.Quote(ctx, []byte("claims"), tpmtemplate.QuotePCRs())
		return err
	}
	target, err := publisherd.ParseTarget(p.addr())
	if err != nil {
		return err
	}
	node, err := publisherd.New(publisherd.Config{Home: filepath.Join(b.dir, "tpm"), NoMDNS: true, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	if err != nil {
		return err
	}
	return node.Do(ctx, false, func(ctx context.Context, s *publisherd.Session) error {
		call := func() error {
			a, err := s.Attest(ctx, target, pol, attestation.PurposeProvision, nil)
			if err == nil && !a.Verdict.Affirmed {
				err = errors.New("the verdict denies")
			}
			return err
		}
		// The first of each loads keys and connects.
		if err := errors.Join(quote(), call()); err != nil {
			return err
		}
		var ours, alone sample
		for i := range b.n {
			note("attesting, %d of %d", i+1, b.n)
			b.settle(ctx)
			q, err := each(quote)
			if err != nil {
				return err
			}
			alone = append(alone, q)
			if q, err = each(call); err != nil {
				return err
			}
			ours = append(ours, q)
		}
		b.table.add(row{measure: "attest call to verdict, TPM 2.0 (swtpm)", ours: ours, yardstick: "the quote alone", theirs: alone, unit: "ms", most: 3})
		return nil
	})
}

// each is the mean time of a call in milliseconds.
func each(call func() error) (float64, error) {
	start := time.Now()
	for range attestRounds {
		if err := call(); err != nil {
			return 0, err
		}
	}
	return time.Since(start).Seconds() * 1000 / attestRounds, nil
}

// maker is the [testing.TB] that makes software TPMs outside a test.
type maker struct {
	testing.TB
	ctx      context.Context
	cleanups []func()
	failed   bool
}

type makerFailed string

func (m *maker) Helper()                  {}
func (m *maker) Context() context.Context { return m.ctx }
func (m *maker) Failed() bool             { return m.failed }
func (m *maker) Logf(format string, args ...any) {
	note(format, args...)
}
func (m *maker) Cleanup(fn func()) { m.cleanups = append(m.cleanups, fn) }
func (m *maker) Fatal(args ...any) { m.failed = true; panic(makerFailed(fmt.Sprint(args...))) }
func (m *maker) Fatalf(format string, args ...any) {
	m.Fatal(fmt.Sprintf(format, args...))
}

// finish cleans up, last first, and makes an error of a failure.
func (m *maker) finish(err *error) {
	r := recover()
	for i := len(m.cleanups) - 1; i >= 0; i-- {
		m.cleanups[i]()
	}
	if f, ok := r.(makerFailed); ok {
		*err = errors.New(string(f))
	} else if r != nil {
		panic(r)
	}
}
