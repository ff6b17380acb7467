package policy_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"apocryph/attest"
	"apocryph/attest/policy"
	"apocryph/proto/status"
)

const (
	ed25519Line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann@example.org"
	armoured    = `-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEawHN9hYJKwYBBAHaRw8BAQdA+Bm5dHpZXqUBJdTTNAc7NOnHqkMtfx+t+RMo\ne+JX7pm0HWVkMjU1MTkgPGVkMjU1MTlAZXhhbXBsZS5vcmc+iJAEExYIADgWIQQf\nHXN+F+F88C0QF9K0bO6pQy/cOgUCawHN9gIbAwULCQgHAgYVCgkICwIEFgIDAQIe\nAQIXgAAKCRC0bO6pQy/cOrqQAQDT+IXyN9AucNS/g5B2mF2c2WZZH6msvadfX5Cv\n7NijBgD6Aw3ncXOdclSwa+a2yX9rxD7JoNtQcXDMjqs55uCe6gA=\n=8hYk\n-----END PGP PUBLIC KEY BLOCK-----\n`
)

var provenancePolicy = snpPolicy + `provenance:
  required: true
  logged: true
  repositories: ["https://github.com/o/r", "https://git.example/team/*"]
  branches: [main, refs/tags/v1]
  signers:
    ssh: ["` + ed25519Line + `"]
    pgp: ["` + armoured + `"]
  runtimes: [static]
  base_images: [sha256:` + hex64(0xbb) + `]
`

func built() attest.BuildFacts {
	return attest.BuildFacts{
		ImageID: "sha256:" + hex64(0x1d), Statement: "sha256:" + hex64(0x57), Repository: "https://github.com/o/r", Branch: "refs/heads/main",
		Commit: strings.Repeat("c", 40), Tree: strings.Repeat("d", 40), Runtime: "static",
		Signer: &attest.BuildSigner{Kind: "ssh", Key: "SHA256:x", Name: "ann"}, Logged: true,
		Bases: []attest.BuildBase{{Name: "base", URI: "oci:base", SHA256: "sha256:" + hex64(0xbb)}},
	}
}

func appraiseBuilds(t *testing.T, text string, images []string, builds ...attest.BuildFacts) (attest.Check, bool) {
	t.Helper()
	return attest.Verdict{Checks: parse(t, text).AppraiseBuilds(images, builds, attest.AnchorHardware)}.Failed()
}

func TestProvenancePasses(t *testing.T) {
	ids := []string{built().ImageID}
	with := func(f func(*attest.BuildFacts)) attest.BuildFacts {
		b := built()
		f(&b)
		return b
	}
	other := with(func(b *attest.BuildFacts) { b.ImageID, b.Repository = "sha256:"+hex64(1), "https://evil.example/o/r" })
	for name, tt := range map[string]struct {
		text   string
		builds []attest.BuildFacts
	}{
		"all":                 {provenancePolicy, []attest.BuildFacts{built()}},
		"over http":           {strings.Replace(provenancePolicy, "https://github.com", "http://github.com", 1), []attest.BuildFacts{with(func(b *attest.BuildFacts) { b.Repository = "http://github.com/o/r" })}},
		"below a team":        {provenancePolicy, []attest.BuildFacts{with(func(b *attest.BuildFacts) { b.Repository = "https://git.example/team/app" })}},
		"a tag":               {provenancePolicy, []attest.BuildFacts{with(func(b *attest.BuildFacts) { b.Branch = "refs/tags/v1" })}},
		"no base":             {provenancePolicy, []attest.BuildFacts{with(func(b *attest.BuildFacts) { b.Bases = nil })}},
		"another's statement": {provenancePolicy, []attest.BuildFacts{other, built()}},
		"of an earlier boot":  {strings.Replace(provenancePolicy, "logged: true", "logged: false", 1), []attest.BuildFacts{with(func(b *attest.BuildFacts) { b.Logged = false })}},
		"nothing demanded":    {snpPolicy, nil},
		"not required":        {strings.Replace(provenancePolicy, "required: true", "required: false", 1), nil},
	} {
		if c, failed := appraiseBuilds(t, tt.text, ids, tt.builds...); failed {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestProvenanceDenies(t *testing.T) {
	ids := []string{built().ImageID}
	optional := strings.Replace(provenancePolicy, "required: true", "required: false", 1)
	for name, tt := range map[string]struct {
		spoil func(*attest.BuildFacts)
		code  string
		asked string
	}{
		"another image":      {func(b *attest.BuildFacts) { b.ImageID = "sha256:" + hex64(2) }, policy.CodeProvenance, "provenance.required"},
		"another repository": {func(b *attest.BuildFacts) { b.Repository = "https://github.com/o/r2" }, policy.CodeSource, "provenance.repositories"},
		"http":               {func(b *attest.BuildFacts) { b.Repository = "http://github.com/o/r" }, policy.CodeSource, "provenance.repositories"},
		"http of a team":     {func(b *attest.BuildFacts) { b.Repository = "http://git.example/team/app" }, policy.CodeSource, "provenance.repositories"},
		"another case":       {func(b *attest.BuildFacts) { b.Repository = "https://github.com/O/r" }, policy.CodeSource, "provenance.repositories"},
		"deeper":             {func(b *attest.BuildFacts) { b.Repository = "https://git.example/team/a/b" }, policy.CodeSource, "provenance.repositories"},
		"the team itself":    {func(b *attest.BuildFacts) { b.Repository = "https://git.example/team/" }, policy.CodeSource, "provenance.repositories"},
		"another team":       {func(b *attest.BuildFacts) { b.Repository = "https://git.example/teams/a" }, policy.CodeSource, "provenance.repositories"},
		"uploaded files": {func(b *attest.BuildFacts) {
			*b = attest.BuildFacts{ImageID: b.ImageID, Upload: "sha256:" + hex64(3), Runtime: "static", Signer: b.Signer}
		}, policy.CodeSource, "provenance.repositories"},
		"another branch":  {func(b *attest.BuildFacts) { b.Branch = "refs/heads/main2" }, policy.CodeSource, "provenance.branches"},
		"a tag as branch": {func(b *attest.BuildFacts) { b.Branch = "refs/tags/main" }, policy.CodeSource, "provenance.branches"},
		"a short name":    {func(b *attest.BuildFacts) { b.Branch = "main" }, policy.CodeSource, "provenance.branches"},
		"no signature":    {func(b *attest.BuildFacts) { b.Signer = nil }, policy.CodeSigner, "provenance.signers"},
		"another runtime": {func(b *attest.BuildFacts) { b.Runtime = "python" }, policy.CodeBuilt, "provenance.runtimes"},
		"another base":    {func(b *attest.BuildFacts) { b.Bases[0].SHA256 = "sha256:" + hex64(0xbc) }, policy.CodeBuilt, "provenance.base_images"},
		"an earlier boot": {func(b *attest.BuildFacts) { b.Logged = false }, policy.CodeLogged, "provenance.logged"},
		"a second base": {func(b *attest.BuildFacts) {
			b.Bases = append(b.Bases, attest.BuildBase{Name: "toolchain"})
		}, policy.CodeBuilt, "provenance.base_images"},
	} {
		t.Run(name, func(t *testing.T) {
			b := built()
			tt.spoil(&b)
			c, failed := appraiseBuilds(t, provenancePolicy, ids, b)
			if !failed || c.Code != tt.code || !strings.HasSuffix(c.Policy, tt.asked) || c.Got == "" || c.Want == "" {
				t.Errorf("got %+v, want %s by %s", c, tt.code, tt.asked)
			}
			if b.ImageID != ids[0] {
				return
			}
			// What there is must pass, whether it is required or not, and beside a good one.
			if _, failed := appraiseBuilds(t, optional, ids, b); !failed {
				t.Error("it passes where it is not required")
			}
			if _, failed := appraiseBuilds(t, provenancePolicy, ids, built(), b); !failed {
				t.Error("it passes beside a good statement")
			}
		})
	}
	if c, failed := appraiseBuilds(t, provenancePolicy, append(ids, "sha256:"+hex64(9)), built()); !failed || c.Code != policy.CodeProvenance {
		t.Errorf("one of two images has no statement: %+v", c)
	}
	for name, p := range map[string]*policy.Policy{"nil": nil, "faults": {}} {
		if c, failed := (attest.Verdict{Checks: p.AppraiseBuilds(ids, nil, "")}).Failed(); !failed || c.Code != policy.CodePolicyInvalid {
			t.Errorf("%s: got %+v", name, c)
		}
	}
}

func TestProvenanceText(t *testing.T) {
	p := parse(t, provenancePolicy)
	again := parse(t, string(p.Marshal()))
	if d := cmp.Diff(p.Provenance, again.Provenance); d != "" {
		t.Error(d)
	}
	if s, wanted := p.WantsSigner(); !wanted || len(s.SSH) != 1 || !strings.Contains(s.PGP[0], "\n\nmDMEa") {
		t.Errorf("got %+v", s)
	}
	if _, wanted := parse(t, snpPolicy).WantsSigner(); wanted {
		t.Error("a signer is wanted")
	}
	text := strings.Join(policy.Explain(p), "\n")
	for _, want := range []string{
		"of each image", "measured log of the boot", "built from https://github.com/o/r or https://git.example/team/*", "on main or refs/tags/v1", "SSH key ssh-ed25519", "PGP key of digest sha256:",
		"any other signature, or none", "runtime static", "toolchains must be sha256:bb",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	diff := policy.Diff(parse(t, snpPolicy), p)
	if len(diff) < 6 || strings.Contains(strings.Join(diff, "\n"), "- ") {
		t.Errorf("got %q", diff)
	}
	other := parse(t, strings.Replace(provenancePolicy, "[main,", "[next,", 1))
	if d := policy.Diff(p, other); len(d) != 2 || p.Digest() == other.Digest() {
		t.Errorf("got %q", d)
	}
	if text := strings.Join(policy.Explain(parse(t, strings.Replace(provenancePolicy, "required: true", "required: false", 1))), "\n"); !strings.Contains(text, "without a statement about its build is accepted") {
		t.Error(text)
	}
}

func TestProvenanceRefused(t *testing.T) {
	line := func(s string) string { return snpPolicy + "provenance:\n  required: true\n  " + s + "\n" }
	for name, tt := range map[string]struct{ text, field string }{
		"nothing":                 {snpPolicy + "provenance: {}\n", "provenance"},
		"only false":              {snpPolicy + "provenance: {required: false}\n", "provenance"},
		"unknown":                 {line("builders: [x]"), "provenance.builders"},
		"logged, no boolean":      {line("logged: 1"), "provenance.logged"},
		"logged twice":            {line("logged: true\n  logged: true"), "provenance.logged"},
		"yes":                     {snpPolicy + "provenance: {required: yes}\n", "provenance.required"},
		"ssh":                     {line("repositories: ['ssh://github.com/o/r']"), "provenance.repositories[0]"},
		"http without host":       {line("repositories: ['http:///o/r']"), "provenance.repositories[0]"},
		"file with host":          {line("repositories: ['file://host/o/r']"), "provenance.repositories[0]"},
		"with .git":               {line("repositories: ['https://github.com/o/r.git']"), "provenance.repositories[0]"},
		"upper-case host":         {line("repositories: ['https://GitHub.com/o/r']"), "provenance.repositories[0]"},
		"user":                    {line("repositories: ['https://u@github.com/o/r']"), "provenance.repositories[0]"},
		"slash at the end":        {line("repositories: ['https://github.com/o/r/']"), "provenance.repositories[0]"},
		"host alone":              {line("repositories: ['https://github.com/*']"), "provenance.repositories[0]"},
		"star within":             {line("repositories: ['https://github.com/*/r']"), "provenance.repositories[0]"},
		"two stars":               {line("repositories: ['https://github.com/o/*/*']"), "provenance.repositories[0]"},
		"twice":                   {line("repositories: ['https://github.com/o/r', 'https://github.com/o/r']"), "provenance.repositories[1]"},
		"empty list":              {line("branches: []"), "provenance.branches"},
		"branch with a star":      {line("branches: ['*']"), "provenance.branches[0]"},
		"branch with dots":        {line("branches: ['a..b']"), "provenance.branches[0]"},
		"branch like a flag":      {line("branches: ['-x']"), "provenance.branches[0]"},
		"no signers":              {line("signers: {}"), "provenance.signers"},
		"private key":             {line("signers: {ssh: ['-----BEGIN OPENSSH PRIVATE KEY-----']}"), "provenance.signers.ssh[0]"},
		"ssh fingerprint":         {line("signers: {ssh: ['SHA256:abc']}"), "provenance.signers.ssh[0]"},
		"pgp fingerprint":         {line("signers: {pgp: ['ABCD']}"), "provenance.signers.pgp[0]"},
		"ssh key cut short":       {line("signers: {ssh: ['" + ed25519Line[:60] + "']}"), "provenance.signers.ssh[0]"},
		"ssh key of another kind": {line("signers: {ssh: ['ssh-rsa" + strings.TrimPrefix(ed25519Line, "ssh-ed25519") + "']}"), "provenance.signers.ssh[0]"},
		"pgp key cut short":       {line(`signers: {pgp: ["-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEY\n-----END PGP PUBLIC KEY BLOCK-----\n"]}`), "provenance.signers.pgp[0]"},
		"runtime":                 {line("runtimes: ['a b']"), "provenance.runtimes[0]"},
		"base by tag":             {line("base_images: ['python:3.11']"), "provenance.base_images[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Parse([]byte(tt.text))
			if err == nil || !strings.Contains(fmt.Sprint(status.Public(err).Faults), tt.field) {
				t.Errorf("got %v, want a fault of %s", err, tt.field)
			}
		})
	}
	keys := make([]string, 65)
	for i := range keys {
		wire := append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00 "), make([]byte, 32)...)
		wire[len(wire)-1] = byte(i)
		keys[i] = "'ssh-ed25519 " + base64.StdEncoding.EncodeToString(wire) + "'"
	}
	if _, err := policy.Parse([]byte(line("signers: {ssh: [" + strings.Join(keys, ", ") + "]}"))); err == nil || !strings.Contains(fmt.Sprint(status.Public(err).Faults), "65 keys") {
		t.Errorf("got %v", err)
	}
}

func TestProvenanceLint(t *testing.T) {
	for name, tt := range map[string]struct {
		section string
		want    []string
	}{
		"repository without branch": {"{required: true, repositories: ['https://github.com/o/r']}", []string{"warning provenance.branches"}},
		"not required":              {"{repositories: ['https://github.com/o/r'], branches: [main]}", []string{"warning provenance.required"}},
		"required alone":            {"{required: true}", []string{"warning provenance.repositories"}},
		"branch alone":              {"{required: true, branches: [main]}", []string{"warning provenance.repositories", "error provenance.repositories"}},
		"signer alone":              {"{required: true, signers: {ssh: ['" + ed25519Line + "']}}", []string{"warning provenance.repositories", "error provenance.repositories"}},
		"logged":                    {"{required: true, logged: true, repositories: ['https://github.com/o/r'], branches: [main]}", []string{"warning provenance.logged"}},
		"http":                      {"{required: true, repositories: ['http://git.internal:3000/o/r'], branches: [main]}", []string{"error provenance.repositories[0]"}},
		"http, signed":              {"{required: true, repositories: ['http://git.internal:3000/o/r'], branches: [main], signers: {ssh: ['" + ed25519Line + "']}}", []string{"warning provenance.repositories[0]"}},
		"team":                      {"{required: true, repositories: ['https://github.com/o/*'], branches: [main]}", []string{"warning provenance.repositories[0]"}},
		"good":                      {"{required: true, repositories: ['https://github.com/o/r'], branches: [main]}", nil},
	} {
		var got []string
		for _, f := range policy.Lint(parse(t, snpPolicy+"provenance: "+tt.section+"\n")) {
			if strings.HasPrefix(f.Field, "provenance") {
				got = append(got, string(f.Severity)+" "+f.Field)
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
