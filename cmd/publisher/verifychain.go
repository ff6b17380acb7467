package main

import (
	"fmt"
	"strings"
	"time"

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
	SBOM       string `json:"sbom_digest,omitempty"`
	// Signer is set where the policy names keys and one of them signed the commit.
	Signer     string    `json:"signer,omitempty"`
	SignerName string    `json:"signer_name,omitempty"`
	Finished   time.Time `json:"finished_at"`
	// Logged is when the measured log of this boot has the build, Record as which of
	// its records; absent for a build of an earlier boot.
	Logged *time.Time `json:"logged_at,omitempty"`
	Record *uint64    `json:"log_record,omitempty"`
}

func buildsOf(r *client.Report) []reportBuild {
	out := []reportBuild{}
	for _, b := range r.Builds {
		v := reportBuild{
			ImageID: b.ImageID, Statement: b.Statement, Builder: b.Builder, BuildID: b.ID, Upload: b.Upload, Runtime: b.Runtime, SBOM: b.SBOM, Finished: b.Finished,
		}
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

// printChain shows what follows from what, from the connection to the commit: a
// line is worth the one above it.
func (g *globals) printChain(r *client.Report) error {
	p := r.Receipt
	c := chain{}
	if r.Host != "" {
		c.add(0, "endpoint %s", r.Host)
		c.add(1, "evidence of %s, level %s", p.Provider, r.Verdict.Level)
	} else {
		c.add(1, "key of %s, attested before, level %s", p.Provider, r.Verdict.Level)
	}
	c.add(2, "receipt of %s", p.Issued.UTC().Format(time.RFC3339))
	c.add(3, "pod %s, revision %d", p.PodID, p.Revision)
	for _, i := range p.Images {
		c.add(4, "image %s (%s)", i.ImageID, i.Container)
		found := false
		for _, b := range buildsOf(r) {
			if b.ImageID == i.ImageID {
				c.build(b)
				found = true
			}
		}
		if !found {
			c.add(5, "how it was built is not known")
		}
	}
	_, err := fmt.Fprint(g.app.Stdout, "\n", c.String())
	return err
}

// when says how well it is known when the build took place.
func (b reportBuild) when() string {
	if b.Logged == nil {
		return "finished " + b.Finished.UTC().Format(time.RFC3339) + ", not in the log of this boot"
	}
	return fmt.Sprintf("record %d of the measured log, %s", *b.Record, b.Logged.Format(time.RFC3339))
}

type chain struct{ strings.Builder }

func (c *chain) add(depth int, format string, args ...any) {
	mark := ""
	if depth > 0 {
		mark = strings.Repeat("  ", depth-1) + "└ "
	}
	fmt.Fprintf(c, "%s%s\n", mark, cli.Clean(fmt.Sprintf(format, args...)))
}

func (c *chain) build(b reportBuild) {
	c.add(5, "provenance %s", b.Statement)
	c.add(6, "built by runtime %s, %s", b.Runtime, b.when())
	if b.Repository == "" {
		c.add(6, "uploaded files %s: nobody can look where they are from", b.Upload)
		return
	}
	c.add(6, "%s@%s", b.Repository, b.Branch)
	c.add(7, "commit %s", b.Commit)
	if b.Path != "" {
		c.add(8, "tree %s, directory %s", b.Tree, b.Path)
	} else {
		c.add(8, "tree %s", b.Tree)
	}
	if b.Signer != "" {
		c.add(8, "signed by %s (%s)", b.Signer, b.SignerName)
	}
}
