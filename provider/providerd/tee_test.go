package providerd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/faketsm"
	"github.com/google/go-sev-guest/client/linuxabi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"

	"apocryph/attest"
	"apocryph/attest/attesttest"
	"apocryph/attest/device/collateral"
	"apocryph/proto/status"
)

// platform is a configfs whose platform has a name and makes reports.
func platform(name string, report func(data [64]byte) []byte) configfsi.Client {
	sub := faketsm.ReportV7(0)
	// The name is there before anything was written.
	sub.MakeEntry = func() *faketsm.ReportEntry {
		return &faketsm.ReportEntry{
			InAttrs: map[string]*faketsm.ReportAttributeState{"inblob": {}, "privlevel": {}},
			ROAttrs: map[string][]byte{"provider": []byte(name + "\n")},
		}
	}
	sub.ReadAttr = func(e *faketsm.ReportEntry, attr string) ([]byte, error) {
		switch attr {
		case "provider":
			return []byte(name + "\n"), nil
		case "outblob":
			return report([64]byte(e.InAttrs["inblob"].Value)), nil
		case "auxblob":
			return nil, nil
		}
		return nil, os.ErrNotExist
	}
	return &faketsm.Client{Subsystems: map[string]configfsi.Client{"report": sub}}
}

// chip derives one key for whoever asks.
type chip struct{ key [32]byte }

func (*chip) Open(string) error        { return nil }
func (*chip) Close() error             { return nil }
func (*chip) Product() *spb.SevProduct { return nil }

func (c *chip) Ioctl(command uintptr, argument any) (uintptr, error) {
	resp, ok := argument.(*linuxabi.SnpUserGuestRequest).RespData.(*linuxabi.SnpDerivedKeyRespABI)
	if command != linuxabi.IocSnpGetDerivedKey || !ok {
		return 0, errors.New("input/output error")
	}
	resp.Data = c.key
	return 0, nil
}

func confidential(t *testing.T, tee string, m Machine) settings {
	t.Helper()
	if m.Root == "" {
		m.Root = t.TempDir()
	}
	return settings{Config: Config{
		TEE: tee, TPM: NoTPM, DataDir: t.TempDir(), Machine: &m, Now: time.Now,
		AMDKDS: collateral.Off, IntelPCS: collateral.Off,
	}}
}

func TestOpenDevice(t *testing.T) {
	noReport := func([64]byte) []byte { return nil }
	snp := Machine{Reports: platform("sev_guest", noReport), Guest: &chip{[32]byte{1}}}
	tdx := Machine{Reports: platform("tdx_guest", noReport)}
	for name, tt := range map[string]struct {
		tee  string
		m    Machine
		want attest.Type
	}{
		"auto on SEV-SNP":          {"auto", snp, attest.SEVSNP},
		"auto on an older SEV-SNP": {"auto", Machine{Guest: &chip{}}, attest.SEVSNP},
		"auto on TDX":              {"auto", tdx, attest.TDX},
		"sev-snp":                  {"sev-snp", snp, attest.SEVSNP},
		"tdx":                      {"tdx", tdx, attest.TDX},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := openDevice(t.Context(), confidential(t, tt.tee, tt.m))
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.close(); err != nil {
					t.Error(err)
				}
			}()
			if d.Type() != tt.want || d.run == nil {
				t.Errorf("got %s", d.Type())
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := d.run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for name, tt := range map[string]struct {
		tee    string
		m      Machine
		reason string
	}{
		"auto on nothing":          {"auto", Machine{}, "provider.no_tee"},
		"auto on another platform": {"auto", Machine{Reports: platform("arm_cca_guest", noReport)}, "provider.no_tee"},
		"sev-snp on nothing":       {"sev-snp", Machine{}, "tsm.absent"},
		"tdx on nothing":           {"tdx", Machine{}, "tsm.absent"},
		"tdx on an older SEV-SNP":  {"tdx", Machine{Guest: &chip{}}, "tsm.absent"},
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := openDevice(t.Context(), confidential(t, tt.tee, tt.m)); status.ReasonOf(err) != tt.reason {
				t.Errorf("got %v, %v, want %s", d, err, tt.reason)
			}
		})
	}
}

// TestWrongPlatform: what a machine was told to be is not taken for what it is.
func TestWrongPlatform(t *testing.T) {
	d, err := openDevice(t.Context(), confidential(t, "tdx", Machine{Reports: platform("sev_guest", func([64]byte) []byte { return make([]byte, 1184) })}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	if e, err := d.Attest(t.Context(), []byte("claims")); status.ReasonOf(err) != "tsm.provider" {
		t.Errorf("got %v, %v", e, err)
	}
}

// TestDataKeys: SEV-SNP's is the chip's and lasts, TDX's lasts one boot at most.
func TestDataKeys(t *testing.T) {
	key := func(s settings) []byte {
		t.Helper()
		d, err := openDevice(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.close() }()
		k, err := d.DataKey(t.Context())
		if err != nil || len(k) != 32 {
			t.Fatalf("got %x, %v", k, err)
		}
		return k
	}
	s := confidential(t, "sev-snp", Machine{Guest: &chip{[32]byte{1}}})
	first := key(s)
	if !bytes.Equal(first, key(s)) {
		t.Error("SEV-SNP: another key at the second start")
	}
	home := s.Machine.Guest
	s.Machine.Guest = &chip{[32]byte{2}} // other software, as the processor sees it
	if bytes.Equal(first, key(s)) {
		t.Error("SEV-SNP: other software gets the key")
	}
	s.Machine.Guest = home
	if !bytes.Equal(first, key(s)) {
		t.Error("SEV-SNP: the key is gone after other software ran")
	}
	m := attesttest.NewTDX(t, time.Now(), nil)
	td := confidential(t, "tdx", Machine{Reports: platform("tdx_guest", func(data [64]byte) []byte { return m.Quote(t, data, nil) })})
	if bytes.Equal(key(td), key(td)) {
		t.Error("TDX: a key of a directory that is not in memory")
	}
	files, err := filepath.Glob(filepath.Join(td.DataDir, "tee", "datakey*"))
	if err != nil || len(files) > 0 {
		t.Errorf("TDX: the key lies at %v, %v", files, err)
	}
}
