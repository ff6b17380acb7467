package policy

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"apocryph/attest/commit"
)

// maxSigners bounds the keys of a policy: each costs a verifier time.
const maxSigners = 64

var (
	// branchName is what both git and every hosting service accept, without the
	// rarer characters of git-check-ref-format.
	branchName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+-]{0,254}$`)
	imageID    = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	// runtimeName is the form of a runtime's name.
	runtimeName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,31}$`)
	sshKey      = regexp.MustCompile(`^(ssh-ed25519|sk-ssh-ed25519@openssh\.com|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+={0,2}( [^\pC]*)?$`)
)

func (d *decoder) provenance(n *yaml.Node) *Provenance {
	const at = "provenance"
	f := d.mapping(n, at, "required", "logged", "repositories", "branches", "signers", "runtimes", "base_images")
	p := &Provenance{
		Repositories: d.texts(f["repositories"], at+".repositories"), Branches: d.texts(f["branches"], at+".branches"),
		Runtimes: d.texts(f["runtimes"], at+".runtimes"), Bases: d.texts(f["base_images"], at+".base_images"),
	}
	if v := f["required"]; v != nil {
		p.Required = d.boolean(v, at+".required")
	}
	if v := f["logged"]; v != nil {
		p.Logged = d.boolean(v, at+".logged")
	}
	if v := f["signers"]; v != nil {
		s := d.mapping(v, at+".signers", "ssh", "pgp")
		p.Signers = Signers{d.texts(s["ssh"], at+".signers.ssh"), d.texts(s["pgp"], at+".signers.pgp")}
		if p.Signers.None() {
			d.fault(v, at+".signers", describe(v), "ssh or pgp, with at least one key")
		}
	}
	return p
}

func (v *validator) provenance(p *Provenance) {
	if p == nil {
		return
	}
	const at = "provenance"
	if !p.Required && !p.Logged && len(p.Repositories)+len(p.Branches)+len(p.Runtimes)+len(p.Bases) == 0 && p.Signers.None() {
		v.fault(at, "nothing", "required: true, or what a build must have")
	}
	each := func(field string, list []string, ok func(string) bool, want string) {
		for i, s := range list {
			path := fmt.Sprintf("%s.%s[%d]", at, field, i)
			if !ok(s) {
				v.fault(path, quote(s), want)
			}
			for _, other := range list[:i] {
				if other == s {
					v.fault(path, quote(s)+" a second time", "each once")
				}
			}
		}
	}
	each("repositories", p.Repositories, canonicalRepository, "a URL such as https://github.com/owner/name, or with /* for its name; file:///PATH is one on the provider's own disk, http://… one that is not authenticated")
	each("branches", p.Branches, func(s string) bool {
		return branchName.MatchString(s) && !strings.Contains(s, "..") && !strings.HasSuffix(s, "/")
	}, "a branch such as main, or a full name such as refs/tags/v1")
	each("runtimes", p.Runtimes, runtimeName.MatchString, "the name of a runtime, such as static")
	each("base_images", p.Bases, imageID.MatchString, "sha256: and 64 lower-case hexadecimal digits")
	each("signers.ssh", p.Signers.SSH, func(s string) bool { return sshKey.MatchString(s) && readable(s) },
		"a public key as in authorized_keys, such as ssh-ed25519 AAAA…; RSA of 2048 bits at least")
	each("signers.pgp", p.Signers.PGP, func(s string) bool {
		return strings.HasPrefix(s, "-----BEGIN PGP PUBLIC KEY BLOCK-----") && strings.HasSuffix(strings.TrimSpace(s), "-----END PGP PUBLIC KEY BLOCK-----") && readable(s)
	}, "an armoured PGP public key that can sign")
	if n := len(p.Signers.SSH) + len(p.Signers.PGP); n > maxSigners {
		v.fault(at+".signers", strconv.Itoa(n)+" keys", "at most "+strconv.Itoa(maxSigners))
	}
}

// readable reports whether a verifier of commits can use a key: one that it cannot
// read is found out here, and not when a commit is refused.
func readable(key string) bool {
	keys, err := commit.ParseKeys([]byte(key))
	return err == nil && keys.Len() > 0
}

// canonicalRepository reports whether a text is a repository's one URL.
func canonicalRepository(s string) bool {
	bare, _ := strings.CutSuffix(s, "/*")
	u, err := url.Parse(bare)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file" || (u.Scheme == "file") != (u.Host == "") {
		return false
	}
	return u.User == nil && !strings.ContainsAny(bare, "*?#@% ") &&
		strings.ToLower(u.Host) == u.Host && u.Path != "" && u.Path != "/" && !strings.HasSuffix(bare, "/") && !strings.HasSuffix(bare, ".git") &&
		!strings.Contains(u.Path, "//") && u.String() == bare
}

func (w *writer) provenance(p *Provenance) {
	if p == nil {
		return
	}
	w.comment("How images must have been built, judged where a receipt names them.")
	w.line(0, "provenance:")
	if p.Required {
		w.line(1, "required: true")
	}
	if p.Logged {
		w.line(1, "logged: true")
	}
	w.list(1, "repositories", quotedAll(p.Repositories))
	w.list(1, "branches", quotedAll(p.Branches))
	if !p.Signers.None() {
		w.line(1, "signers:")
		w.list(2, "ssh", quotedAll(p.Signers.SSH))
		w.list(2, "pgp", quotedAll(p.Signers.PGP))
	}
	w.list(1, "runtimes", quotedAll(p.Runtimes))
	w.list(1, "base_images", quotedAll(p.Bases))
}

// digestOf is the start of a text's SHA-256: what names a key of many lines.
func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return fmt.Sprintf("sha256:%x", sum[:8])
}

func (p *Provenance) explain(say func(field, format string, args ...any)) {
	if p == nil {
		return
	}
	if p.Required {
		say("provenance.required", "of each image that a receipt names there must be a statement about its build, signed by the attested key")
	} else {
		say("provenance", "an image without a statement about its build is accepted; where there is one, it must pass:")
	}
	if p.Logged {
		say("provenance.logged", "the measured log of the boot in which an image runs must have its build: after the machine booted again it must be built again")
	}
	if len(p.Repositories) > 0 {
		say("provenance.repositories", "an image must be built from %s, and not from uploaded files", strings.Join(p.Repositories, " or "))
	}
	if len(p.Branches) > 0 {
		say("provenance.branches", "the commit must be on %s", strings.Join(p.Branches, " or "))
	}
	for i, k := range p.Signers.SSH {
		say(fmt.Sprintf("provenance.signers.ssh[%d]", i), "the commit may be signed by the SSH key %s", oneLine(k))
	}
	for i, k := range p.Signers.PGP {
		say(fmt.Sprintf("provenance.signers.pgp[%d]", i), "the commit may be signed by the PGP key of digest %s", digestOf(k))
	}
	if !p.Signers.None() {
		say("provenance.signers", "a commit with any other signature, or none, is refused")
	}
	if len(p.Runtimes) > 0 {
		say("provenance.runtimes", "an image must be built by the runtime %s", strings.Join(p.Runtimes, " or "))
	}
	if len(p.Bases) > 0 {
		say("provenance.base_images", "base images and toolchains must be %s", strings.Join(p.Bases, " or "))
	}
}

// provenance finds what looks stronger than it is.
func (l *linter) provenance(p *Provenance) {
	if p == nil {
		return
	}
	if !p.Required {
		l.add(SeverityWarning, "provenance.required", "without it, an image that nobody says anything about passes")
	}
	if p.Logged {
		l.add(SeverityWarning, "provenance.logged", "an app is refused after the provider's machine has booted again, until it is built and deployed again; and so is a receipt without evidence")
	}
	if p.Required && len(p.Repositories) == 0 {
		l.add(SeverityWarning, "provenance.repositories", "an image of any repository passes, and one of uploaded files")
	}
	if len(p.Repositories) > 0 && len(p.Branches) == 0 {
		l.add(SeverityWarning, "provenance.branches", "any branch passes, also one that anybody can open a request for; name those that are reviewed")
	}
	if len(p.Repositories) == 0 && len(p.Branches)+len(p.Signers.SSH)+len(p.Signers.PGP) > 0 {
		l.add(SeverityError, "provenance.repositories", "a branch or signer without a repository proves nothing: anybody can make a branch of that name, and commits are copied with their signature")
	}
	for i, r := range p.Repositories {
		switch {
		case !strings.HasPrefix(r, "http://"):
		case p.Signers.None():
			l.add(SeverityError, fmt.Sprintf("provenance.repositories[%d]", i), "over http nobody knows who answers for the repository, so it proves nothing without signers")
		default:
			l.add(SeverityWarning, fmt.Sprintf("provenance.repositories[%d]", i), "over http who is between can show an older commit or one of another branch, as long as it is signed")
		}
		if strings.HasSuffix(r, "/*") {
			l.add(SeverityWarning, fmt.Sprintf("provenance.repositories[%d]", i), "every repository there passes, also those that are made later")
		}
	}
}
