package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/proto/status"
)

var ignoreLines = cmpopts.IgnoreUnexported(policy.Policy{})

func TestParse(t *testing.T) {
	want := &policy.Policy{
		Version: 3, Trust: policy.Trust{Levels: []attest.Level{attest.LevelSNP}},
		Freshness: policy.Freshness{MaxAge: policy.DefaultMaxAge},
		Reference: []policy.ReferenceSet{{
			Name: "milan", TEE: attest.SEVSNP, Measurement: [][]byte{fill(0x11, 48)}, ChipIDs: [][]byte{fill(0xc1, 64)},
			MinTCB:      &policy.TCB{Bootloader: 4, TEE: 1, SNP: 23, Microcode: 213},
			GuestPolicy: policy.GuestPolicy{SMT: true},
		}},
		Offer:   &policy.Offer{MaxPricePerHour: "0.10", Asset: "USD"},
		Storage: policy.Storage{Protected: true},
	}
	if d := cmp.Diff(want, parse(t, snpPolicy), ignoreLines); d != "" {
		t.Error(d)
	}
	want = &policy.Policy{
		Version:   1,
		Trust:     policy.Trust{Levels: []attest.Level{attest.LevelTPMMeasuredBoot}, EKRoots: [][32]byte{print32(0xe0)}},
		Freshness: policy.Freshness{MaxAge: 90 * time.Second},
		Reference: []policy.ReferenceSet{{
			Name: "server", TEE: attest.TPM2, EK: [][32]byte{print32(0xe1)},
			PCRs: &policy.PCRs{Bank: "sha256", Values: map[uint32][][]byte{4: {fill(5, 32), fill(99, 32)}, 7: {fill(8, 32)}}},
		}},
	}
	if d := cmp.Diff(want, parse(t, tpmPolicy), ignoreLines); d != "" {
		t.Error(d)
	}
	// Digits that YAML takes for numbers are digits all the same, in either case.
	p := parse(t, edit(t, snpPolicy, `["`+hex96(0x11)+`"]`, "["+hex96(0x10)+", "+strings.ToUpper(hex96(0xAB))+"]"))
	if d := cmp.Diff([][]byte{fill(0x10, 48), fill(0xab, 48)}, p.Reference[0].Measurement); d != "" {
		t.Error(d)
	}
}

func TestParseRefuses(t *testing.T) {
	set := func(extra string) string {
		return edit(t, softPolicy, "name: laptop, tee: soft", "name: laptop, tee: soft, "+extra)
	}
	tests := []struct {
		name, text string
		// want are the faults, in order, without the class around them.
		want []string
	}{
		{"empty", "", []string{"policy: got an empty file, want a YAML mapping"}},
		{"only a comment", "# x", []string{"policy: got an empty file, want a YAML mapping"}},
		{"null", "null", []string{"line 1: policy: got something else, want a YAML mapping"}},
		{"a text", "hello", []string{"line 1: policy: got something else, want a YAML mapping"}},
		{"a list", "- a", []string{"line 1: policy: got something else, want a YAML mapping"}},
		{"broken", "a: [", []string{"line 1: policy: got yaml: line 1: did not find expected node content, want YAML"}},
		{"broken later", "version: 1\ntrust:\n  levels: ]", []string{"policy: got yaml: line "}},
		{"binary", "\x00\x01", []string{"policy: got "}},
		{"two documents", softPolicy + "---\nversion: 2\n", []string{"line 7: policy: got a second document, want one document"}},
		{"alias", edit(t, edit(t, softPolicy, "version: 1", "version: &v 1"), "name: laptop", "name: *v"), []string{"line 4: reference[0].name: got an alias, want a text"}},
		{"merge key", softPolicy + "<<: {version: 2}\n", []string{`line 7: policy: got "<<", want a plain field name`}},
		{"list as key", softPolicy + "[a]: b\n", []string{"line 7: policy: got a list, want a plain field name"}},
		{"a tag", edit(t, softPolicy, "name: laptop", "name: !!binary aGk="), []string{`reference[0].name: got "aGk=", want a text`}},

		{"unknown section", softPolicy + "buildings: {}\n", []string{"line 7: buildings: got an unknown field, want one of version, unverified, trust"}},
		{"misspelt section", edit(t, softPolicy, "reference:", "refrence:"), []string{"line 3: refrence: got an unknown field, want reference"}},
		{"misspelt field", set("mesurement: []"), []string{"line 4: reference[0].mesurement: got an unknown field, want measurement"}},
		{"debug cannot be allowed", edit(t, softPolicy, "{smt: true}", "{debug: true}"), []string{"line 4: reference[0].guest_policy.debug: got an unknown field, want one of smt"}},
		{"repeated field", softPolicy + "version: 2\n", []string{"line 7: version: got the field a second time, want it once"}},
		{"repeated section", softPolicy + "trust: {levels: [sev-snp]}\n", []string{"line 7: trust: got the field a second time, want it once"}},
		{"escape codes in a name", softPolicy + "\"a\\e[31m\": 1\n", []string{"line 7: a?[31m: got an unknown field"}},

		{"no version", edit(t, softPolicy, "version: 1\n", ""), []string{"version: got nothing, want a whole number from 1"}},
		{"version zero", edit(t, softPolicy, "version: 1", "version: 0"), []string{`line 1: version: got "0", want a whole number from 1 to 2147483647`}},
		{"version negative", edit(t, softPolicy, "version: 1", "version: -1"), []string{`line 1: version: got "-1"`}},
		{"version as text", edit(t, softPolicy, "version: 1", `version: "1"`), []string{`line 1: version: got "1"`}},
		{"version in hex", edit(t, softPolicy, "version: 1", "version: 0x1"), []string{`line 1: version: got "0x1"`}},
		{"version too large", edit(t, softPolicy, "version: 1", "version: 99999999999999999999"), []string{"line 1: version: got"}},
		{"unverified as text", "unverified: yes\n" + softPolicy, []string{`line 1: unverified: got "yes", want true or false`}},
		{"unverified in capitals", "unverified: True\n" + softPolicy, []string{`line 1: unverified: got "True"`}},

		{"no trust", edit(t, softPolicy, "trust: {levels: [soft]}\n", ""), []string{"trust.levels: got nothing, want at least one of tdx, sev-snp"}},
		{"no levels", edit(t, softPolicy, "[soft]", "[]"), []string{"line 2: trust.levels: got an empty list"}},
		{"level as text", edit(t, softPolicy, "[soft]", "soft"), []string{`line 2: trust.levels: got "soft", want a list`}},
		{"unknown level", edit(t, softPolicy, "[soft]", "[soft, sev-snpp]"), []string{`line 2: trust.levels[1]: got "sev-snpp", want sev-snp`}},
		{"any level", edit(t, softPolicy, "[soft]", "[soft, any]"), []string{`line 2: trust.levels[1]: got "any", want one of`}},
		{"a TPM without its level", edit(t, softPolicy, "[soft]", "[soft, tpm2]"), []string{`line 2: trust.levels[1]: got "tpm2", want one of tdx, sev-snp, tpm2-measured-boot`}},
		{"repeated level", edit(t, softPolicy, "[soft]", "[soft, soft]"), []string{`line 2: trust.levels[1]: got "soft" a second time`}},
		{"null level", edit(t, softPolicy, "[soft]", "[~, soft]"), []string{"line 2: trust.levels[0]: got nothing, want a text"}},
		{"soft without a CA", softPolicy[:strings.Index(softPolicy, "dev:")], []string{"dev.soft_ca: got nothing, want the fingerprint of the development CA"}},
		{"CA without its tag", edit(t, softPolicy, "sha256:", ""), []string{"line 6: dev.soft_ca[0]: got", "want sha256: and 64"}},
		{"short CA", edit(t, softPolicy, "sha256:50", "sha256:"), []string{"line 6: dev.soft_ca[0]: got"}},
		{"zero CA", edit(t, softPolicy, hex64(0x50), hex64(0)), []string{"line 6: dev.soft_ca[0]: got all zeros, want a fingerprint"}},
		{"null CA", edit(t, softPolicy, `"sha256:`+hex64(0x50)+`"`, "null"), []string{"line 6: dev.soft_ca[0]: got nothing, want a text"}},
		{"dev forbidden", softPolicy[:strings.Index(softPolicy, "dev:")] + "dev: forbidden\n", []string{`line 5: dev: got "forbidden", want a mapping`}},

		{"age as number", softPolicy + "freshness: {max_age: 60}\n", []string{`line 7: freshness.max_age: got "60", want a duration`}},
		{"no age", softPolicy + "freshness: {max_age: 0s}\n", []string{"line 7: freshness.max_age: got 0s, want more than 0s and at most 24h"}},
		{"negative age", softPolicy + "freshness: {max_age: -1m}\n", []string{"line 7: freshness.max_age: got -1m0s"}},
		{"long age", softPolicy + "freshness: {max_age: 25h}\n", []string{"line 7: freshness.max_age: got 25h0m0s"}},
		{"null age", softPolicy + "freshness: {max_age: }\n", []string{"line 7: freshness.max_age: got nothing"}},

		{"empty reference", edit(t, softPolicy, softPolicy[strings.Index(softPolicy, "reference:"):strings.Index(softPolicy, "dev:")], "reference: []\n"), []string{"line 3: reference: got an empty list"}},
		{"set as text", edit(t, softPolicy, "dev:", "  - any\ndev:"), []string{`line 5: reference[1]: got "any", want a mapping`}},
		{"no name", edit(t, softPolicy, "name: laptop, ", ""), []string{"line 4: reference[0].name: got nothing"}},
		{"bad name", edit(t, softPolicy, "laptop", `"a b"`), []string{`line 4: reference[0].name: got "a b"`}},
		{"repeated name", edit(t, softPolicy, "dev:", softPolicy[strings.Index(softPolicy, "  - {"):strings.Index(softPolicy, "dev:")]+"dev:"), []string{`line 5: reference[1].name: got "laptop", want a name that no other set has`}},
		{"no tee", edit(t, softPolicy, "tee: soft, ", ""), []string{"line 4: reference[0].tee: got nothing, want sev-snp, tdx, tpm2 or soft"}},
		{"unknown tee", edit(t, softPolicy, "tee: soft", "tee: snp"), []string{`line 4: reference[0].tee: got "snp"`}},
		{"tdx set", edit(t, softPolicy, "tee: soft", "tee: tdx"), []string{
			"line 4: reference[0].mrtd: got nothing, want at least one", "reference[0].measurement: got a field of sev-snp, want no such field in a set for tdx",
			"reference[0].guest_policy: got a field of sev-snp",
		}},
		{"fields of tdx", edit(t, softPolicy, "tee: soft,", "tee: soft, mrtd: [\""+hex96(1)+"\"], mrseam: [\""+hex96(1)+"\"], rtmrs: {0: [\""+hex96(1)+"\"]}, tcb: {grace: 1h}, platforms: [\"sha256:"+hex64(1)+"\"],"), []string{
			"reference[0].mrtd: got a field of tdx, want no such field in a set for soft", "reference[0].mrseam", "reference[0].rtmrs", "reference[0].tcb", "reference[0].platforms",
		}},
		{"rtmr over 3", edit(t, tdxPolicy, "      1:", "      4:"), []string{`line 10: reference[0].rtmrs.4: got "4", want a whole number from 0 to 3`}},
		{"short rtmr", edit(t, tdxPolicy, hex96(0x31), "31"), []string{"line 10: reference[0].rtmrs.1[0]: got 1 bytes, want 48"}},
		{"zero mrtd", edit(t, tdxPolicy, hex96(0x21), hex96(0)), []string{"line 6: reference[0].mrtd[0]: got all zeros"}},
		{"long grace", edit(t, tdxPolicy, "336h", "2161h"), []string{"line 12: reference[0].tcb.grace: got 2161h0m0s, want 0s to 2160h"}},
		{"unknown status", edit(t, tdxPolicy, "SWHardeningNeeded", "UpToDat"), []string{`line 12: reference[0].tcb.status[1]: got "UpToDat", want UpToDate`}},
		{"revoked accepted", edit(t, tdxPolicy, "SWHardeningNeeded", "Revoked"), []string{`line 12: reference[0].tcb.status[1]: got "Revoked", want one of UpToDate`}},
		{"no such platform", edit(t, tdxPolicy, hex64(0x70), hex64(0)), []string{"line 13: reference[0].platforms[0]: got all zeros"}},
		{"level not accepted", edit(t, softPolicy, "tee: soft", "tee: sev-snp"), []string{"line 4: reference[0].tee: got a set that proves sev-snp, want sev-snp in trust.levels"}},
		{"no measurement", edit(t, softPolicy, `measurement: ["`+hex96(0x11)+`"], `, ""), []string{"line 4: reference[0].measurement: got nothing, want at least one"}},
		{"any measurement", edit(t, softPolicy, `["`+hex96(0x11)+`"]`, "any"), []string{`line 4: reference[0].measurement: got "any", want a list`}},
		{"any among measurements", edit(t, softPolicy, `"`+hex96(0x11)+`"`, "any"), []string{`line 4: reference[0].measurement[0]: got "any", want 96`}},
		{"empty measurement", edit(t, softPolicy, hex96(0x11), ""), []string{"line 4: reference[0].measurement[0]: got nothing, want 96"}},
		{"short measurement", edit(t, softPolicy, hex96(0x11), "11"), []string{"line 4: reference[0].measurement[0]: got 1 bytes, want 48"}},
		{"odd measurement", edit(t, softPolicy, hex96(0x11), hex96(0x11)+"1"), []string{"line 4: reference[0].measurement[0]: got"}},
		{"zero measurement", edit(t, softPolicy, hex96(0x11), hex96(0)), []string{"line 4: reference[0].measurement[0]: got all zeros"}},
		{"short chip", set("chip_ids: [11]"), []string{"line 4: reference[0].chip_ids[0]: got 1 bytes, want 64"}},
		{"zero chip", set(`chip_ids: ["` + strings.Repeat("00", 64) + `"]`), []string{"chip_ids[0]: got all zeros"}},
		{"no chips", set("chip_ids: []"), []string{"line 4: reference[0].chip_ids: got an empty list"}},
		{"version over a byte", set("min_tcb: {snp: 256}"), []string{`line 4: reference[0].min_tcb.snp: got "256", want a whole number from 0 to 255`}},
		{"unknown part", set("min_tcb: {ucode: 1}"), []string{"line 4: reference[0].min_tcb.ucode: got an unknown field"}},
		{"floor as number", set("min_tcb: 5"), []string{`line 4: reference[0].min_tcb: got "5", want a mapping`}},
		{"privilege level", set("vmpl: 4"), []string{`line 4: reference[0].vmpl: got "4", want a whole number from 0 to 3`}},
		{"registers of a report", set("pcrs: {bank: sha256, values: {4: [11]}}"), []string{"line 4: reference[0].pcrs.values.4[0]: got 1 bytes, want 32 bytes"}},
		{"endorsement key of a report", set(`ek: ["sha256:` + hex64(1) + `"]`), []string{"line 4: reference[0].ek: got a field of tpm2"}},

		{"fields of a report in tpm2", edit(t, identityPolicy, "tee: tpm2,", `tee: tpm2, measurement: ["`+hex96(1)+`"], chip_ids: ["`+strings.Repeat("01", 64)+`"], min_tcb: {snp: 1}, guest_policy: {smt: true}, vmpl: 1,`), []string{
			"reference[0].measurement: got a field of sev-snp", "reference[0].chip_ids: got", "reference[0].min_tcb: got", "reference[0].guest_policy: got", "reference[0].vmpl: got",
		}},
		{"any TPM", edit(t, identityPolicy, `, ek: ["sha256:`+hex64(0xe1)+`"]`, ""), []string{"line 4: reference[0].ek: got nothing, want a pinned machine here, or a root in trust.ek_roots"}},
		{"zero endorsement key", edit(t, identityPolicy, hex64(0xe1), hex64(0)), []string{"line 4: reference[0].ek[0]: got all zeros"}},
		{"identity is not measured boot", edit(t, identityPolicy, "tpm2-identity", "tpm2-measured-boot"), []string{"line 4: reference[0].tee: got a set that proves tpm2-identity, want tpm2-identity in trust.levels"}},
		{"measured boot is not identity", edit(t, tpmPolicy, "tpm2-measured-boot", "tpm2-identity"), []string{"line 8: reference[0].tee: got a set that proves tpm2-measured-boot"}},
		{"no bank", edit(t, tpmPolicy, "      bank: sha256\n", ""), []string{"line 9: reference[0].pcrs.bank: got nothing, want sha256 or sha384"}},
		{"weak bank", edit(t, tpmPolicy, "bank: sha256", "bank: sha1"), []string{`line 10: reference[0].pcrs.bank: got "sha1"`}},
		{"another bank's size", edit(t, tpmPolicy, "bank: sha256", "bank: sha384"), []string{"line 12: reference[0].pcrs.values.4[0]: got 32 bytes, want 48", "values.4[1]: got 32 bytes", "line 13: reference[0].pcrs.values.7[0]: got 32 bytes"}},
		{"no values", tpmPolicy[:strings.Index(tpmPolicy, "        4:")] + "        {}\n", []string{"line 11: reference[0].pcrs.values: got nothing, want at least one register"}},
		{"empty registers", tpmPolicy[:strings.Index(tpmPolicy, "      bank:")] + "      {}\n", []string{"pcrs.bank: got nothing", "pcrs.values: got nothing"}},
		{"register 16", edit(t, tpmPolicy, "        7:", "        16:"), []string{"line 13: reference[0].pcrs.values.16: got register 16, want another one: any program can reset 16 and 23"}},
		{"register 23", edit(t, tpmPolicy, "        7:", "        23:"), []string{"line 13: reference[0].pcrs.values.23: got register 23"}},
		{"register 24", edit(t, tpmPolicy, "        7:", "        24:"), []string{`line 13: reference[0].pcrs.values.24: got "24", want a whole number from 0 to 23`}},
		{"register by name", edit(t, tpmPolicy, "        7:", "        seven:"), []string{`line 13: reference[0].pcrs.values.seven: got "seven"`}},
		{"register twice", edit(t, tpmPolicy, "        7:", "        4:"), []string{"line 13: reference[0].pcrs.values.4: got the field a second time"}},
		{"register twice in disguise", edit(t, tpmPolicy, "        7:", "        04:"), []string{"line 13: reference[0].pcrs.values.04: got \"04\""}},
		{"any register value", edit(t, tpmPolicy, `7: ["`+hex64(8)+`"]`, "7: any"), []string{`line 13: reference[0].pcrs.values.7: got "any", want a list`}},
		{"no register value", edit(t, tpmPolicy, `7: ["`+hex64(8)+`"]`, "7: []"), []string{"line 13: reference[0].pcrs.values.7: got an empty list"}},

		{"price alone", softPolicy + "offer: {max_price_per_hour: \"1\"}\n", []string{"line 7: offer.asset: got nothing"}},
		{"asset alone", softPolicy + "offer: {asset: USD}\n", []string{"line 7: offer.max_price_per_hour: got nothing"}},
		{"empty offer", softPolicy + "offer: {}\n", []string{"offer.max_price_per_hour: got nothing", "offer.asset: got nothing"}},
		{"negative price", softPolicy + "offer: {max_price_per_hour: -1, asset: USD}\n", []string{`line 7: offer.max_price_per_hour: got "-1", want a decimal number`}},
		{"price with an exponent", softPolicy + "offer: {max_price_per_hour: 1e9, asset: USD}\n", []string{`got "1e9"`}},
		{"price without end", softPolicy + "offer: {max_price_per_hour: \"" + strings.Repeat("9", 30) + "\", asset: USD}\n", []string{"offer.max_price_per_hour: got"}},
		{"asset in lower case", softPolicy + "offer: {max_price_per_hour: 1, asset: usd}\n", []string{`line 7: offer.asset: got "usd"`}},
		{"asset with more", softPolicy + "offer: {max_price_per_hour: 1, asset: \"USD \"}\n", []string{"offer.asset: got"}},
		{"price as list", softPolicy + "offer: {max_price_per_hour: [1], asset: USD}\n", []string{"offer.max_price_per_hour: got a list"}},
		{"storage as text", softPolicy + "storage: protected\n", []string{`line 7: storage: got "protected", want a mapping`}},
		{"storage by another name", softPolicy + "storage: {protect: true}\n", []string{"line 7: storage.protect: got an unknown field, want protected"}},
		{"storage as number", softPolicy + "storage: {protected: 1}\n", []string{`line 7: storage.protected: got "1", want true or false`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := policy.Parse([]byte(tt.text))
			var e *status.Error
			if p != nil || !errors.As(err, &e) || e.Code != status.InvalidArgument || e.Reason != policy.ReasonInvalid {
				t.Fatalf("got %v, %v", p, err)
			}
			var all []string
			for _, f := range e.Faults {
				all = append(all, f.String())
			}
			text := strings.Join(all, "\n")
			for _, want := range tt.want {
				at := strings.Index(text, want)
				if at < 0 {
					t.Fatalf("the faults\n%s\ndo not have, in this order,\n%s", strings.Join(all, "\n"), want)
				}
				text = text[at+len(want):]
			}
		})
	}
}

func TestParseListsAllFaults(t *testing.T) {
	const text = `version: zero
trsut: {levels: [sev-snp]}
freshness: {max_age: never}
reference:
  - name: "?"
    tee: sev-snp
    measurement: any
    vmpl: 9
  - tee: tpm2
    pcrs: {bank: md5, values: {16: [zz]}}
offer: {max_price_per_hour: cheap}
storage: {protected: maybe}
dev: {soft_ca: [x]}
`
	_, err := policy.Parse([]byte(text))
	var e *status.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range e.Faults {
		fmt.Fprintln(&b, f)
	}
	golden(t, "faults.txt", b.String())
}
