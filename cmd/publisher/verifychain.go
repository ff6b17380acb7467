package main

import (
	"fmt"
	"strings"
	"time"

	"apocryph/attest"
	"apocryph/attest/client"
	"apocryph/cmd/internal/cli"
)

// reportBuild is how an image was built, as the attested key says.
type reportBuild struct {
	ImageID    string `json:"image_id"`
	Statement  string `json:"provenance_digest"`
	Builder    string `json:"builder"`
	BuildID    string `json:"build_id"`
	Repository string `json:"repository,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Branch     string `json:"branch,omitempty"`
	Path       string `json:"path,omitempty"`
	Commit     string `json:"commit_sha,omitempty"`
	Tree       string `json:"tree_sha,omitempty"`
	Upload     string `json:"content_digest,omitempty"`
	Runtime    string `json:"runtime"`
	// Bases are base images and toolchains, Packages how many packages went in.
	Bases    []reportBase `json:"base_images"`
	Packages int          `json:"packages"`
	SBOM     string       `json:"sbom_digest,omitempty"`
	// Signer is set where the policy names keys and one of them signed the commit.
	Signer     string    `json:"signer,omitempty"`
	SignerName string    `json:"signer_name,omitempty"`
	Finished   time.Time `json:"finished_at"`
	// Logged is when the measured log of this boot has the build, Record as which of
	// its records; absent for a build of an earlier boot.
	Logged *time.Time `json:"logged_at,omitempty"`
	Record *uint64    `json:"log_record,omitempty"`
}

type reportBase struct {
	Name   string `json:"name"`
	URI    string `json:"uri"`
	SHA256 string `json:"digest,omitempty"`
}

func buildsOf(r *client.Report) []reportBuild {
	out := []reportBuild{}
	for _, b := range r.Builds {
		v := reportBuild{
			ImageID: b.ImageID, Statement: b.Statement, Builder: b.Builder, BuildID: b.ID, Upload: b.Upload, Runtime: b.Runtime, SBOM: b.SBOM, Finished: b.Finished,
		}
		v.Bases = []reportBase{}
		for _, base := range b.Facts(nil).Bases {
			v.Bases = append(v.Bases, reportBase(base))
		}
		v.Packages = len(b.Materials) - len(v.Bases)
		if s := b.Source; s != nil {
			v.Repository, v.Ref, v.Branch, v.Path, v.Commit, v.Tree = s.Repository, s.Ref, s.Branch, s.Path, s.Commit, s.Tree
		}
		if !b.Logged.IsZero() {
			at, record := b.Logged.UTC(), b.Record
			v.Logged, v.Record = &at, &record
		}
		if b.Signer != nil {
			v.Signer, v.SignerName = b.Signer.Key, b.Signer.Name
		}
		out = append(out, v)
	}
	return out
}

// printChain shows what follows from what, from the connection to the commit: under each
// hop stands why the next one follows. A line is worth what the ones above it are.
func (g *globals) printChain(r *client.Report) error {
	p := r.Receipt
	c := chain{}
	switch {
	case r.Host == "":
		c.hop("key of %s, attested before, level %s", p.Provider, r.Verdict.Level)
		c.because("%s; it signed the receipt", byWhom[r.Verdict.Level])
	default:
		c.hop("endpoint %s", r.Host)
		switch {
		case len(r.TLSKey) == 0:
			c.because("NOT BOUND: the evidence names no TLS key")
		case r.URL == "":
			c.because("as the file says: whoever connects compares the TLS key")
		default:
			c.because("its TLS key, that of this very connection, is named in the evidence")
		}
		c.hop("evidence of %s, level %s", p.Provider, r.Verdict.Level)
		c.because("%s; it names the key that signed the receipt", byWhom[r.Verdict.Level])
	}
	c.hop("receipt of %s", p.Issued.UTC().Format(time.RFC3339))
	c.because("names pod and images")
	c.hop("pod %s, revision %d", p.PodID, p.Revision)
	builds := buildsOf(r)
	for n, i := range p.Images {
		if n > 0 {
			c.WriteByte('\n')
		}
		c.because("runs this image")
		c.hop("image %s (%s)", i.ImageID, i.Container)
		found := false
		for _, b := range builds {
			if b.ImageID == i.ImageID {
				c.build(b)
				found = true
			}
		}
		if !found {
			c.end("how it was built is not known: the provider has no statement about it")
		}
	}
	_, err := fmt.Fprint(g.app.Stdout, "\n", c.String())
	return err
}

// byWhom is what makes evidence of a level believable.
var byWhom = map[attest.Level]string{
	attest.LevelSNP: "signed by an AMD processor", attest.LevelTDX: "signed by an Intel processor", attest.LevelTPMMeasuredBoot: "quoted by a TPM, with what booted",
	attest.LevelTPMIdentity: "quoted by a TPM, whatever booted", attest.LevelSoft: "signed by a software device, NOT SECURE",
}

// builtAs is what a runtime builds.
var builtAs = map[string]string{
	"static": "a static site", "binary": "an executable", "python": "a Python app", "node": "a Node app", "go": "a Go program", "dockerfile": "a Dockerfile",
}

// when says how well it is known when the build took place.
func (b reportBuild) when() string {
	if b.Logged == nil {
		return "finished " + b.Finished.UTC().Format(time.RFC3339) + ", not in the log of this boot"
	}
	return fmt.Sprintf("record %d of the measured log, %s", *b.Record, b.Logged.Format(time.RFC3339))
}

// what is the kind of a build. A runtime that this version does not know goes by its name.
func (b reportBuild) what() string {
	if text, ok := builtAs[b.Runtime]; ok {
		return text
	}
	return "runtime " + b.Runtime
}

// madeOf is what went in besides the source, a line each.
func (b reportBuild) madeOf() (out []string) {
	for _, base := range b.Bases {
		out = append(out, strings.TrimSpace("on "+base.Name+" "+base.SHA256))
	}
	if b.Packages > 0 {
		out = append(out, "with "+cli.Count(b.Packages, "package")+" that the source pins by their hashes")
	}
	if b.SBOM != "" {
		out = append(out, "bill of materials "+b.SBOM)
	}
	return out
}

// chain is a list of hops.
type chain struct{ strings.Builder }

func (c *chain) line(mark, format string, args ...any) {
	fmt.Fprintf(c, "%s%s\n", mark, cli.Clean(fmt.Sprintf(format, args...)))
}

func (c *chain) hop(format string, args ...any)     { c.line("", format, args...) }
func (c *chain) because(format string, args ...any) { c.line("  ↓ ", format, args...) }

// end is said of the hop above it, and leads nowhere.
func (c *chain) end(format string, args ...any) { c.line("  · ", format, args...) }

func (c *chain) build(b reportBuild) {
	c.because("the receipt names it, and the same key signed it")
	c.hop("provenance %s", b.Statement)
	c.because("says how the image was made")
	c.hop("build of %s, %s", b.what(), b.when())
	for _, text := range b.madeOf() {
		c.end("%s", text)
	}
	if b.Repository == "" {
		c.because("made from what somebody sent")
		c.hop("uploaded files %s", b.Upload)
		c.end("nobody can look where they are from")
		return
	}
	switch {
	case strings.HasPrefix(b.Repository, "http:"):
		c.because("made from what the provider itself fetched, without knowing who answered")
	case strings.HasPrefix(b.Repository, "file:"):
		c.because("made from what the provider has on its own disk")
	default:
		c.because("made from what the provider itself fetched")
	}
	c.hop("%s@%s", b.Repository, b.Branch)
	c.because("led to this commit when the provider looked")
	c.hop("commit %s", b.Commit)
	c.because("the commit object, which is in the statement, hashes to this and names the tree")
	if b.Path != "" {
		c.hop("tree %s, directory %s", b.Tree, b.Path)
	} else {
		c.hop("tree %s", b.Tree)
	}
	c.end("the files that were built hash to it, as the provider recomputed")
	if b.Signer != "" {
		c.hop("signed by %s (%s)", b.Signer, b.SignerName)
		c.end("verified here, with a key of the policy")
		return
	}
	c.end("the policy wants no signature of the commit")
}
