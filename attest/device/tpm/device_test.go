package tpm_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"go.uber.org/goleak"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/tpm"
	"apocryph/attest/tpmtemplate"
	"apocryph/attest/verify"
	"apocryph/proto/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, m *attesttest.TPM, dir string) *tpm.Device {
	t.Helper()
	d, err := tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: dir})
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	return d
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantReason(t testing.TB, err error, code status.Code, reason string) {
	t.Helper()
	if status.CodeOf(err) != code || status.ReasonOf(err) != reason {
		t.Errorf("got %v (%v %s), want %v %s", err, status.CodeOf(err), status.ReasonOf(err), code, reason)
	}
}

// appraise goes through a whole exchange with the device.
func appraise(t testing.TB, d *tpm.Device, m *attesttest.TPM) *attest.Result {
	t.Helper()
	id, err := d.Identity(t.Context())
	check(t, err)
	roots := verify.Roots{EKRoots: []*x509.Certificate{m.Root}, EKIntermediates: []*x509.Certificate{m.Issuer}}
	act, want, err := verify.NewActivation(id, roots, rand.Reader, time.Now())
	check(t, err)
	secret, err := d.Activate(t.Context(), act)
	check(t, err)
	ch := attesttest.NewChallenge(t)
	c := attesttest.Claims(ch, time.Now())
	c.TPMAKName, err = d.AKName(t.Context())
	check(t, err)
	claims := attest.EncodeClaims(c)
	quoted, err := d.Attest(t.Context(), claims)
	check(t, err)
	_, err = verify.Evidence([]attest.Evidence{quoted}, claims, ch, want, roots, time.Now())
	wantReason(t, err, status.Untrusted, "attest.activation")
	evidence := attest.ProveActivation(quoted, claims, secret)
	r, err := verify.Evidence([]attest.Evidence{evidence}, claims, ch, want, roots, time.Now())
	check(t, err)
	return r
}

func loaded(t testing.TB, m *attesttest.TPM) int {
	t.Helper()
	n := 0
	for _, first := range []uint32{0x02000000, 0x80000000} {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 32}.Execute(m.Open(t))
		check(t, err)
		list, err := r.CapabilityData.Data.Handles()
		check(t, err)
		n += len(list.Handle)
	}
	return n
}

// TestDevice shares one TPM, whose manufacture takes a second.
func TestDevice(t *testing.T) {
	m := attesttest.SWTPM(t)
	for name, test := range map[string]func(*testing.T, *attesttest.TPM){
		"lifetime": lifetime, "lock": lock, "killed": killed, "concurrent": concurrent, "refusals": refusals,
		"given up": givenUp, "chain": chain, "sealing": sealing, "data key": dataKey, "boot epoch": bootEpoch,
		"fallbacks": fallbacks, "register": register, "register refuses": registerRefuses, "boot log": bootLog,
	} {
		t.Run(name, func(t *testing.T) { test(t, m) })
	}
	// Last, since it resets the TPM.
	t.Run("reset", func(t *testing.T) { reset(t, m) })
}

func lifetime(t *testing.T, m *attesttest.TPM) {
	d := open(t, m, t.TempDir())
	if d.Type() != attest.TPM2 {
		t.Errorf("got %s", d.Type())
	}
	first := appraise(t, d, m)
	for range 3 {
		appraise(t, d, m)
		_, err := d.DataKey(t.Context())
		check(t, err)
	}
	check(t, d.Close())
	if n := loaded(t, m); n != 0 {
		t.Errorf("%d objects and sessions are left in the TPM", n)
	}
	again := open(t, m, t.TempDir())
	if got := appraise(t, again, m); !bytes.Equal(got.TPM.AKName, first.TPM.AKName) {
		t.Error("the attestation key is another after opening again")
	}
	_, err := d.Identity(t.Context())
	wantReason(t, err, status.Unavailable, "tpm.closed")
	check(t, d.Close())
}

func lock(t *testing.T, m *attesttest.TPM) {
	d := open(t, m, t.TempDir())
	_, err := tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: t.TempDir()})
	wantReason(t, err, status.Conflict, "tpm.in_use")
	check(t, d.Close())

	// The same TPM under another name.
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "s")
	check(t, os.Symlink(m.Socket, link))
	cfg := tpm.Config{Path: m.Path, StateDir: t.TempDir(), LockDir: dir}
	d, err = tpm.Open(t.Context(), cfg)
	check(t, err)
	cfg.Path = "unix:" + link
	_, err = tpm.Open(t.Context(), cfg)
	wantReason(t, err, status.Conflict, "tpm.in_use")
	check(t, d.Close())
}

// killed leaves in the TPM what processes that were killed leave.
func killed(t *testing.T, m *attesttest.TPM) {
	raw := m.Open(t)
	for range 3 {
		_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpmtemplate.AK())}.Execute(raw)
		check(t, err)
		_, _, err = tpm2.PolicySession(raw, tpm2.TPMAlgSHA256, 16)
		check(t, err)
	}
	if n := loaded(t, m); n != 6 {
		t.Fatalf("got %d left, want the TPM full with 6", n)
	}
	appraise(t, open(t, m, t.TempDir()), m)
}

func concurrent(t *testing.T, m *attesttest.TPM) {
	d := open(t, m, t.TempDir())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if i == 0 {
				_, err := d.DataKey(t.Context())
				if err != nil {
					t.Error(err)
				}
				return
			}
			q, err := d.Quote(t.Context(), []byte{byte(i)}, []uint32{0, 7})
			if err != nil || len(q.PCRs) != 2 {
				t.Errorf("got %v, %v", q, err)
			}
		})
	}
	wg.Wait()
	appraise(t, d, m)
}

func refusals(t *testing.T, m *attesttest.TPM) {
	d := open(t, m, t.TempDir())
	_, err := d.Activate(t.Context(), attest.Activation{})
	wantReason(t, err, status.InvalidArgument, "tpm.activation")
	_, err = d.Activate(t.Context(), attest.Activation{CredentialBlob: make([]byte, 60), EncryptedSecret: make([]byte, 100)})
	wantReason(t, err, status.InvalidArgument, "tpm.activation")
	for _, pcrs := range [][]uint32{nil, {1, 0}, {24}} {
		_, err = d.Quote(t.Context(), nil, pcrs)
		wantReason(t, err, status.InvalidArgument, "tpm.pcrs")
	}
	for _, key := range [][]byte{nil, make([]byte, 129)} {
		if _, err := d.SealKey(t.Context(), key); err == nil {
			t.Errorf("sealed %d bytes", len(key))
		}
	}
	appraise(t, d, m)

	for name, cfg := range map[string]tpm.Config{
		"no path": {StateDir: "x"}, "no directory": {Path: "/dev/null"},
	} {
		if d, err := tpm.Open(t.Context(), cfg); err == nil {
			t.Errorf("%s: got %v", name, d)
		}
	}
	file := filepath.Join(t.TempDir(), "f")
	check(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{"/nonexistent", "unix:/nonexistent", "unix:" + file} {
		_, err := tpm.Open(t.Context(), tpm.Config{Path: path, StateDir: t.TempDir()})
		wantReason(t, err, status.Unavailable, "tpm.open")
	}
	_, err = tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: t.TempDir(), LockDir: "/nonexistent"})
	if err == nil {
		t.Error("opened without a lock")
	}
	// A device file that is no TPM opens, but never answers like one.
	null, err := tpm.Open(t.Context(), tpm.Config{Path: "/dev/null", StateDir: t.TempDir(), LockDir: t.TempDir()})
	check(t, err)
	_, err = null.Identity(t.Context())
	wantReason(t, err, status.Unavailable, "tpm.failed")
	check(t, null.Close())
}

// givenUp has callers that stop waiting, with a TPM that answers and one that
// does not.
func givenUp(t *testing.T, m *attesttest.TPM) {
	d := open(t, m, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"identity": func() error { _, err := d.Identity(ctx); return err },
		"quote":    func() error { _, err := d.Quote(ctx, nil, []uint32{0}); return err },
		"data key": func() error { _, err := d.DataKey(ctx); return err },
		"epoch":    func() error { _, err := d.BootEpoch(ctx); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want canceled", name, err)
		}
	}
	appraise(t, d, m)

	socket := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", socket)
	check(t, err)
	defer l.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = tpm.Open(ctx, tpm.Config{Path: "unix:" + socket, StateDir: t.TempDir()})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent TPM: got %v, want a deadline", err)
	}
}

func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "t")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// chain gives the device the certificates that the TPM does not store, and the
// verifier only the root's fingerprint.
func chain(t *testing.T, m *attesttest.TPM) {
	d, err := tpm.Open(t.Context(), tpm.Config{Path: m.Path, StateDir: t.TempDir(), EKChain: [][]byte{m.Issuer.Raw, m.Root.Raw}})
	check(t, err)
	t.Cleanup(func() { check(t, d.Close()) })
	id, err := d.Identity(t.Context())
	check(t, err)
	_, _, err = verify.NewActivation(id, verify.Roots{EKRootFingerprints: [][32]byte{sha256.Sum256(m.Root.Raw)}}, rand.Reader, time.Now())
	check(t, err)
}

func bootEpoch(t *testing.T, m *attesttest.TPM) {
	d := open(t, m, t.TempDir())
	a, err := d.BootEpoch(t.Context())
	check(t, err)
	b, err := d.BootEpoch(t.Context())
	check(t, err)
	if len(a) != 32 || !bytes.Equal(a, b) {
		t.Errorf("got %x and %x, want one value of 32 bytes", a, b)
	}
}
