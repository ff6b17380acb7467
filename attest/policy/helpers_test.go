package policy_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/policy"
)

var update = flag.Bool("update", false, "rewrite testdata")

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func print32(b byte) [32]byte { return [32]byte(fill(b, 32)) }

// hex96 is the hex of a 48 byte value of one byte.
func hex96(b byte) string { return hex.EncodeToString(fill(b, 48)) }

func hex64(b byte) string { return hex.EncodeToString(fill(b, 32)) }

// goodTCB is bootloader 4, tee 1, snp 23, microcode 213 in the form of Milan.
const goodTCB = 213<<56 | 23<<48 | 1<<8 | 4

func claims() *attest.Claims {
	return &attest.Claims{IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute), Storage: "fscrypt"}
}

func verified() []attest.Check {
	return []attest.Check{{Code: "ATT-020", Name: "nonce", OK: true, Anchor: attest.AnchorHardware, Got: "equal", Want: "equal"}}
}

func snpResult() *attest.Result {
	return &attest.Result{
		Claims: claims(), Level: attest.LevelSNP, Checks: verified(),
		SNP: &attest.SNPFacts{
			Product: "Milan", Measurement: fill(0x11, 48), ChipID: fill(0xc1, 64), SMT: true,
			ReportedTCB: goodTCB, CommittedTCB: goodTCB, LaunchTCB: goodTCB, RootFingerprint: print32(0xaa),
		},
	}
}

func softResult() *attest.Result {
	r := snpResult()
	r.Level = attest.LevelSoft
	r.SNP.RootFingerprint = print32(0x50)
	return r
}

func tpmResult() *attest.Result {
	f := &attest.TPMFacts{EKFingerprint: print32(0xe1), EKRootFingerprint: print32(0xe0), AKName: []byte{1}}
	for i := range uint32(24) {
		f.PCRs = append(f.PCRs, attest.PCR{Bank: "sha256", Index: i, Value: fill(byte(i+1), 32)})
	}
	return &attest.Result{Claims: claims(), Level: attest.LevelTPMIdentity, Checks: verified(), TPM: f}
}

func tdxResult() *attest.Result {
	return &attest.Result{
		Claims: claims(), Level: attest.LevelTDX, Checks: verified(),
		TDX: &attest.TDXFacts{
			MRTD: fill(0x21, 48), MRSEAM: fill(0x22, 48), RTMRs: [4][]byte{fill(0x30, 48), fill(0x31, 48), fill(0x32, 48), make([]byte, 48)},
			TCBStatus: "UpToDate", TCBDate: now.Add(-time.Hour), PlatformID: print32(0x70), FMSPC: "50806f000000", Advisories: []string{"INTEL-SA-00001"},
		},
	}
}

// tdx is a TDX result with one fact changed.
func tdx(f func(*attest.TDXFacts)) *attest.Result {
	r := tdxResult()
	f(r.TDX)
	return r
}

// The policies that accept the results above.
var (
	snpPolicy = `version: 3
trust:
  levels: [sev-snp]
reference:
  - name: milan
    tee: sev-snp
    measurement: ["` + hex96(0x11) + `"]
    chip_ids: ["` + strings.Repeat("c1", 64) + `"]
    min_tcb: {bootloader: 4, tee: 1, snp: 23, microcode: 213}
    guest_policy: {smt: true}
offer: {max_price_per_hour: "0.10", asset: USD}
storage: {protected: true}
`
	softPolicy = `version: 1
trust: {levels: [soft]}
reference:
  - {name: laptop, tee: soft, measurement: ["` + hex96(0x11) + `"], guest_policy: {smt: true}}
dev:
  soft_ca: ["sha256:` + hex64(0x50) + `"]
`
	tdxPolicy = `version: 1
trust: {levels: [tdx]}
reference:
  - name: rapids
    tee: tdx
    mrtd: ["` + hex96(0x21) + `"]
    mrseam: ["` + hex96(0x22) + `"]
    rtmrs:
      0: ["` + hex96(0x30) + `"]
      1: ["` + hex96(0x31) + `"]
      2: ["` + hex96(0x32) + `"]
    tcb: {status: [UpToDate, SWHardeningNeeded], grace: 336h}
    platforms: ["sha256:` + hex64(0x70) + `"]
`
	tpmPolicy = `version: 1
trust:
  levels: [tpm2-measured-boot]
  ek_roots: ["sha256:` + hex64(0xe0) + `"]
freshness: {max_age: 90s}
reference:
  - name: server
    tee: tpm2
    pcrs:
      bank: sha256
      values:
        4: ["` + hex64(5) + `", "` + hex64(99) + `"]
        7: ["` + hex64(8) + `"]
    ek: ["sha256:` + hex64(0xe1) + `"]
`
	identityPolicy = `version: 1
trust: {levels: [tpm2-identity]}
reference:
  - {name: server, tee: tpm2, ek: ["sha256:` + hex64(0xe1) + `"]}
`
)

func parse(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// edit replaces one piece of a policy, which must be there once.
func edit(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is %d times in the policy", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, replacement, 1)
}
