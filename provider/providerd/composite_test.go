package providerd

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/proto/status"
	"apocryph/provider"
)

// beside is a machine of a kind with a TPM that was named.
func beside(t *testing.T, kind string, path string) settings {
	t.Helper()
	m := attesttest.NewTDX(t, time.Now(), nil)
	machine := map[string]Machine{
		"sev-snp": {Guest: &chip{[32]byte{1}}},
		"tdx":     {Reports: platform("tdx_guest", func(data [64]byte) []byte { return m.Quote(t, data, nil) })},
	}[kind]
	s := confidential(t, kind, machine)
	s.TPM, s.Logger = path, slog.New(slog.DiscardHandler)
	return s
}

// TestBind: which TPM is put beside reports, and what for.
func TestBind(t *testing.T) {
	t.Parallel()
	tpm := attesttest.SWTPM(t)
	for _, kind := range []string{"soft", "sev-snp", "tdx"} {
		t.Run(kind, func(t *testing.T) {
			s := beside(t, kind, tpm.Path)
			keys := make([][]byte, 2)
			for i := range keys {
				d, err := openDevice(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				b, ok := d.Device.(provider.Bound)
				if !ok || d.Type() != attest.Type(kind) {
					t.Fatalf("got %s, bound %t", d.Type(), ok)
				}
				id, err := b.Identity(t.Context())
				if err != nil || !id.Bound || len(id.AKPublic) == 0 || len(id.EKPublic)+len(id.EKCertificates) > 0 {
					t.Errorf("got %+v, %v", id, err)
				}
				if q, err := b.Quote(t.Context(), []byte("claims")); err != nil || q.Type != attest.TPM2 {
					t.Errorf("got %+v, %v", q, err)
				}
				if keys[i], err = d.DataKey(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := d.close(); err != nil {
					t.Error(err)
				}
			}
			if !bytes.Equal(keys[0], keys[1]) {
				t.Error("another data key at the second start")
			}
			sealed, err := filepath.Glob(filepath.Join(s.DataDir, "tpm", "datakey*"))
			if err != nil || len(sealed) == 0 != (kind == "sev-snp") {
				t.Errorf("the TPM seals %v, %v", sealed, err)
			}
		})
	}
	for name, tt := range map[string]struct{ kind, path, reason string }{
		"none":                      {"soft", NoTPM, ""},
		"nothing is said":           {"soft", "", ""},
		"none beside SEV-SNP":       {"sev-snp", NoTPM, ""},
		"a named one that is not":   {"soft", "unix:" + filepath.Join(t.TempDir(), "absent"), "tpm.open"},
		"the same beside a TD":      {"tdx", "unix:" + filepath.Join(t.TempDir(), "absent"), "tpm.open"},
		"an absent one of a device": {"sev-snp", filepath.Join(t.TempDir(), "tpm9"), "tpm.open"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := openDevice(t.Context(), beside(t, tt.kind, tt.path))
			if status.ReasonOf(err) != tt.reason {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			if _, ok := d.Device.(provider.Bound); ok {
				t.Error("bound")
			}
			if err := d.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBoundRegister: a TD keeps its own register.
func TestBoundRegister(t *testing.T) {
	t.Parallel()
	d, err := openDevice(t.Context(), beside(t, "soft", attesttest.SWTPM(t).Path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	if r := registerOf(d.Device); r == nil || r.Name() != "pcr14" {
		t.Errorf("got %v", r)
	}
	one, err := bootEpoch(t.Context(), d.Device)
	other, otherErr := bootEpoch(t.Context(), d.Device.(*bound).Device)
	if errors.Join(err, otherErr) != nil || bytes.Equal(one, other) {
		t.Errorf("the epoch %x does not count the TPM's resets: %v", one, errors.Join(err, otherErr))
	}
}

// TestSeals: only a TPM that somebody named keeps data.
func TestSeals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		tpm         string
		kind        attest.Type
		binds, seal bool
	}{
		{"unix:/t", attest.TDX, true, true},
		{"unix:/t", attest.Soft, true, true},
		{"unix:/t", attest.SEVSNP, true, false},
		{DefaultTPM, attest.TDX, true, true},
		{DefaultTPM, attest.Soft, true, true},
		{AutoTPM, attest.TDX, hasTPM(DefaultTPM), false},
		{AutoTPM, attest.Soft, false, false},
		{NoTPM, attest.TDX, false, false},
		{NoTPM, attest.Soft, false, false},
		{"", attest.SEVSNP, hasTPM(DefaultTPM), false},
	} {
		c := Config{TPM: tt.tpm}
		if c.binds(tt.kind) != tt.binds || c.sealsWithTPM(tt.kind) != tt.seal {
			t.Errorf("%q beside %s: binds %t, seals %t", tt.tpm, tt.kind, c.binds(tt.kind), c.sealsWithTPM(tt.kind))
		}
	}
}

// TestDoctorBound: what a TPM beside reports is good for is said, and a named one
// that does not work is a fault.
func TestDoctorBound(t *testing.T) {
	t.Parallel()
	tpm := attesttest.SWTPM(t)
	for kind, want := range map[string][]string{
		"soft":    {"bound by the soft report", "PCR 14", "seals the data key"},
		"sev-snp": {"bound by the sev-snp report", "PCR 14"},
		"tdx":     {"bound by the tdx report", "RTMR 3", "seals the data key"},
	} {
		d := diagnosed(t, beside(t, kind, tpm.Path).Config)["tpm2"]
		for _, w := range want {
			if !d.OK || !strings.Contains(d.Found, w) {
				t.Errorf("%s: got %+v, want %q", kind, d, w)
			}
		}
	}
	if d := diagnosed(t, beside(t, "soft", "unix:"+filepath.Join(t.TempDir(), "absent")).Config)["tpm2"]; d.OK {
		t.Errorf("got %+v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openDevice(ctx, beside(t, "soft", tpm.Path)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
