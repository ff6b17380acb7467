package verify_test

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/soft"
	"apocryph/attest/device/tpm"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

// prover is a provider with a TPM.
type prover struct {
	*tpm.Device
	machine *attesttest.TPM
}

func newProver(t testing.TB, m *attesttest.TPM) prover {
	t.Helper()
	d, err := tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: t.TempDir()})
	check(t, err)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return prover{d, m}
}

func rootsOf(m *attesttest.TPM) verify.Roots {
	return verify.Roots{EKRoots: []*x509.Certificate{m.Root}, EKIntermediates: []*x509.Certificate{m.Issuer}}
}

func (p prover) identity(t testing.TB) attest.TPMIdentity {
	t.Helper()
	id, err := p.Identity(t.Context())
	check(t, err)
	return id
}

// exchange is one round between a verifier and a prover.
type exchange struct {
	ch       attest.Challenge
	want     *verify.Expected
	secret   []byte
	claims   []byte
	evidence attest.Evidence
	roots    verify.Roots
	now      time.Time
}

// round goes through all messages of an honest TPM exchange; change may make it
// less honest.
func (p prover) round(t testing.TB, change func(*attest.Claims)) exchange {
	t.Helper()
	x := exchange{ch: attesttest.NewChallenge(t), now: time.Now()}
	act, want, err := verify.NewActivation(p.identity(t), rootsOf(p.machine), rand.Reader, x.now)
	check(t, err)
	x.want = want
	x.secret, err = p.Activate(t.Context(), act)
	check(t, err)
	c := attesttest.Claims(x.ch, x.now)
	c.TPMAKName, err = p.AKName(t.Context())
	check(t, err)
	if change != nil {
		change(c)
	}
	x.claims = attest.EncodeClaims(c)
	quoted, err := p.Attest(t.Context(), x.claims)
	check(t, err)
	x.evidence = attest.ProveActivation(quoted, x.claims, x.secret)
	return x
}

// softDevice is one device for all tests of this package: making its CA takes
// time and tests do not change it.
var softDevice = sync.OnceValues(func() (*soft.Device, error) {
	dir, err := os.MkdirTemp("", "soft")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return soft.Open(dir, exe, time.Now)
})

func softRound(t testing.TB, change func(*attest.Claims)) exchange {
	t.Helper()
	return softRoundOf(t, attesttest.NewChallenge(t), change)
}

func softRoundOf(t testing.TB, ch attest.Challenge, change func(*attest.Claims)) exchange {
	t.Helper()
	d, err := softDevice()
	check(t, err)
	x := exchange{ch: ch, now: time.Now()}
	x.roots.SoftCAs = [][32]byte{d.CAFingerprint()}
	c := attesttest.Claims(x.ch, x.now)
	if change != nil {
		change(c)
	}
	x.claims = attest.EncodeClaims(c)
	x.evidence, err = d.Attest(t.Context(), x.claims)
	check(t, err)
	return x
}

func (x exchange) verify() (*attest.Result, error) {
	return verify.Evidence([]attest.Evidence{x.evidence}, x.claims, x.ch, x.want, x.roots, x.now)
}

// refused checks a refusal: the class, the code of the last check, that it is
// the only one that failed and that nothing else was let out.
func refused(t testing.TB, r *attest.Result, err error, code string) {
	t.Helper()
	if got := status.CodeOf(err); got != status.Untrusted {
		t.Fatalf("got %v (%v), want untrusted %s", err, got, code)
	}
	if r.Claims != nil || r.SNP != nil || r.TPM != nil || r.Level != "" {
		t.Errorf("a refusal lets facts out: %+v", r)
	}
	refusedChecks(t, r.Checks, err, code)
}

func refusedChecks(t testing.TB, checks []attest.Check, err error, code string) {
	t.Helper()
	for i, c := range checks {
		if last := i == len(checks)-1; c.OK == last {
			t.Errorf("check %d of %d: %+v", i+1, len(checks), c)
		}
	}
	if len(checks) == 0 || checks[len(checks)-1].Code != code {
		t.Fatalf("got %v with checks %v, want %s", err, checks, code)
	}
	var e *status.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Reason, "attest.") || !strings.HasPrefix(e.Detail, code) {
		t.Errorf("got %v, want a reason attest.* and the code first in the detail", err)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testExecutable(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	check(t, err)
	return path
}
