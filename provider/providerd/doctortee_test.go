package providerd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apocryph/attest/attesttest"
	"apocryph/attest/device/collateral"
)

// diagnosed returns what the doctor says of the TEE, by name.
func diagnosed(t *testing.T, cfg Config) map[string]Diagnosis {
	t.Helper()
	out := map[string]Diagnosis{}
	for _, d := range checkTEE(cfg) {
		if _, twice := out[d.Name]; twice || d.Found == "" || !d.OK && d.Do == "" {
			t.Errorf("got %+v", d)
		}
		out[d.Name] = d
	}
	return out
}

// put makes files of a machine.
func put(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDoctorTEE(t *testing.T) {
	none := func([64]byte) []byte { return nil }
	expired := `{"name":"Intel's quoting enclave identity","fetched":"2026-01-01T00:00:00Z","expires":"2026-01-31T00:00:00Z","body":"e30="}`
	fresh := `{"name":"Intel's quoting enclave identity","fetched":"2026-01-01T00:00:00Z","expires":"2126-01-31T00:00:00Z","body":"e30="}`
	for name, tt := range map[string]struct {
		tee     string
		machine Machine
		files   map[string]string
		change  func(*Config)
		// want is a part of what is found, or after a bar of what is to be done, and
		// starts with "ok" or "FAIL".
		want map[string]string
	}{
		"nothing": {tee: "auto", want: map[string]string{
			"tee": "FAIL no device|confidential virtual machine", "sev-snp": "ok not an SEV-SNP guest", "tdx": "ok not a TDX guest", "tpm2": "ok no TPM|vTPM",
		}},
		"SEV-SNP": {tee: "auto", machine: Machine{Reports: platform("sev_guest", none), Guest: &chip{}}, files: map[string]string{
			"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu sev_snp\n",
		}, want: map[string]string{
			"tee": "ok sev-snp", "sev-snp": `ok report of platform "sev_guest", /dev/sev-guest, CPU flag sev_snp; reports are made for VMPL 0`, "collateral": "ok none yet",
		}},
		"SEV-SNP without its file": {tee: "auto", machine: Machine{Reports: platform("sev_guest", none)}, want: map[string]string{
			"tee": "FAIL sev-snp cannot be used", "sev-snp": "FAIL no key can be derived|modprobe sev-guest",
		}},
		"SEV-SNP without driver": {tee: "sev-snp", files: map[string]string{"proc/cpuinfo": "flags : sev_snp\n"}, want: map[string]string{
			"tee": "FAIL sev-snp", "sev-snp": "FAIL without its driver|mount -t configfs",
		}},
		"TDX": {tee: "auto", machine: Machine{Reports: platform("tdx_guest", none)}, files: map[string]string{
			"sys/firmware/acpi/tables/data/CCEL": "log", "dev/tdx_guest": "",
		}, want: map[string]string{
			"tee": "ok tdx", "tdx": "ok /dev/tdx_guest, no CPU flag tdx_guest, boot event log (CCEL); TDX has no sealing", "sev-snp": "ok not an SEV-SNP guest", "collateral": "ok none yet",
		}},
		"TDX without log": {tee: "tdx", machine: Machine{Reports: platform("tdx_guest", none)}, want: map[string]string{
			"tdx": "ok no boot event log|EFI_CC_MEASUREMENT",
		}},
		"TDX without configfs": {tee: "tdx", files: map[string]string{"dev/tdx_guest": ""}, want: map[string]string{
			"tee": "FAIL tdx", "tdx": "FAIL cannot get quotes|6.7",
		}},
		"TDX, nothing to fetch": {tee: "tdx", machine: Machine{Reports: platform("tdx_guest", none)}, change: func(c *Config) { c.IntelPCS = collateral.Off }, want: map[string]string{
			"collateral": "FAIL none is to be fetched|--intel-pcs",
		}},
		"TDX, collateral here": {tee: "tdx", machine: Machine{Reports: platform("tdx_guest", none)}, files: map[string]string{"data/tee/collateral/1.json": fresh}, want: map[string]string{
			"collateral": "ok Intel's quoting enclave identity, 48h0m0s old, until 2126-01-31",
		}},
		"TDX, collateral too old": {tee: "tdx", machine: Machine{Reports: platform("tdx_guest", none)}, change: func(c *Config) { c.IntelPCS = collateral.Off }, files: map[string]string{"data/tee/collateral/1.json": strings.ReplaceAll(expired, "2026-01-31", "2026-01-02")}, want: map[string]string{
			"collateral": "FAIL (EXPIRED)|--intel-pcs",
		}},
		"another platform": {tee: "auto", machine: Machine{Reports: platform("arm_cca_guest", none)}, want: map[string]string{
			"tee": "FAIL no device", "sev-snp": `ok "arm_cca_guest"`,
		}},
		"soft":              {tee: "soft", want: map[string]string{"tee": "ok NOT SECURE"}},
		"no TPM to be used": {tee: "soft", change: func(c *Config) { c.TPM = NoTPM }, want: map[string]string{"tpm2": "ok none is to be used|--tpm"}},
		"no TPM where one is wanted": {tee: "tpm2", want: map[string]string{
			"tee": "FAIL tpm2 cannot be used", "tpm2": "FAIL no TPM 2.0 at|--tpm",
		}},
		"no TPM in the file": {tee: "tpm2", files: map[string]string{"dev/tpmrm0": ""}, want: map[string]string{
			"tpm2": "FAIL a TPM at", "boot-log": "ok ",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := tt.machine
			m.Root = t.TempDir()
			put(t, m.Root, tt.files)
			cfg := Config{
				TEE: tt.tee, Machine: &m, TPM: filepath.Join(m.Root, "dev/tpmrm0"), DataDir: filepath.Join(m.Root, "data"),
				AMDKDS: collateral.DefaultKDS, IntelPCS: collateral.DefaultPCS,
				Now: func() time.Time { return time.Date(2026, time.January, 3, 0, 0, 0, 0, time.UTC) },
			}
			if tt.change != nil {
				tt.change(&cfg)
			}
			got := diagnosed(t, cfg)
			for name, want := range tt.want {
				d, ok := got[name]
				found, do, _ := strings.Cut(want, "|")
				mark, found, _ := strings.Cut(found, " ")
				if !ok || d.OK != (mark == "ok") || !strings.Contains(d.Found, found) || !strings.Contains(d.Do, do) {
					t.Errorf("%s: got %+v, want %q", name, d, want)
				}
			}
		})
	}
}

// TestDoctorTPM looks at an emulator, which stays as it was.
func TestDoctorTPM(t *testing.T) {
	m := attesttest.SWTPM(t)
	log := filepath.Join(t.TempDir(), "log")
	put(t, filepath.Dir(log), map[string]string{"log": "x"})
	cfg := Config{TEE: "auto", TPM: m.Path, DataDir: t.TempDir(), Machine: &Machine{Root: t.TempDir()}, TPMBootLog: log}
	for range 2 {
		got := diagnosed(t, cfg)
		if d := got["tee"]; !d.OK || !strings.Contains(d.Found, "not a TEE") {
			t.Errorf("got %+v", d)
		}
		if d := got["tpm2"]; !d.OK || !strings.Contains(d.Found, "certificate of its endorsement key") {
			t.Errorf("got %+v", d)
		}
		if d := got["boot-log"]; !d.OK || !strings.Contains(d.Found, "replay") {
			t.Errorf("got %+v", d)
		}
	}
	if files, err := os.ReadDir(cfg.DataDir); err != nil || len(files) > 0 {
		t.Errorf("left %v, %v", files, err)
	}
	d, err := openDevice(t.Context(), settings{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	if d := diagnosed(t, cfg)["tpm2"]; !d.OK || !strings.Contains(d.Found, "used by a provider") {
		t.Errorf("got %+v", d)
	}
}
