package provenance

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"apocryph/attest/commit"
	"apocryph/proto/status"
)

// Caps on what is read, against statements that are made to be expensive.
const (
	// MaxStatement and MaxEnvelope are in bytes. An image of a few hundred packages
	// has about 100 KiB: one of npm takes 300 bytes.
	MaxStatement = 512 << 10
	MaxEnvelope  = MaxStatement/3*4 + 4096
	// MaxMaterials and MaxParameters bound the lists.
	MaxMaterials  = 2048
	MaxParameters = 256
	// MaxObject bounds a commit object in bytes. Its message can be of any length;
	// signatures of octopus merges have some KiB.
	MaxObject = 64 << 10
	// maxText bounds every text in bytes: they end in terminals and logs.
	maxText = 2 << 10
)

// Check finds out whether the build is consistent in itself: every field is in
// form and within the caps, the commit object has the digest that is the commit's id,
// and its tree is the one named. The error is invalid_argument, reason
// "provenance.invalid", with all faults.
func (b Build) Check() error {
	f := faults{}
	f.text("id", b.ID, 1)
	f.text("builder", b.Builder, 1)
	f.text("runtime", b.Runtime, 1)
	f.text("entry", b.Entry, 0)
	f.digest("image_id", b.ImageID, true)
	f.digest("image", b.Image, true)
	f.digest("binary", b.Binary, false)
	f.digest("sbom", b.SBOM, false)
	f.time("started", b.Started)
	f.time("finished", b.Finished)
	if b.Finished.Before(b.Started) {
		f.add("finished", b.Finished.UTC().Format(timeForm), "not before "+b.Started.UTC().Format(timeForm))
	}
	switch {
	case b.Source == nil:
		f.digest("upload", b.Upload, true)
	case b.Upload != "":
		f.add("upload", b.Upload, "none beside a source")
	default:
		f.source(b.Source)
	}
	f.lists(&b)
	if len(f.list) > 0 {
		return status.Invalid("provenance.invalid", "the statement about a build", f.list)
	}
	return nil
}

type faults struct{ list []status.Fault }

// maxFaults bounds how many are told; the rest would only scroll.
const maxFaults = 32

func (f *faults) add(field, got, want string) {
	if len(f.list) < maxFaults {
		f.list = append(f.list, status.Fault{Field: field, Got: fmt.Sprintf("%.80q", got), Want: want})
	}
}

func (f *faults) text(field, s string, least int) {
	if len(s) < least || len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		f.add(field, s, fmt.Sprintf("%d to %d bytes of UTF-8 without control characters", least, maxText))
	}
}

func (f *faults) digest(field, s string, needed bool) {
	if (needed || s != "") && !isDigest(s) {
		f.add(field, s, "sha256:HEX")
	}
}

func (f *faults) time(field string, t time.Time) {
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		f.add(field, t.UTC().String(), "a time from 1970 to 9999")
	}
}

func (f *faults) count(field string, got, most int) bool {
	if got > most {
		f.add(field, fmt.Sprintf("%d entries", got), fmt.Sprintf("at most %d", most))
	}
	return got <= most
}

func (f *faults) lists(b *Build) {
	if f.count("parameters", len(b.Parameters), MaxParameters) {
		for _, k := range sortedKeys(b.Parameters) {
			f.text("parameters", k, 1)
			f.value("parameters."+k, b.Parameters[k])
		}
	}
	if f.count("argv", len(b.Argv), MaxParameters) {
		for i, a := range b.Argv {
			f.value(fmt.Sprintf("argv[%d]", i), a)
		}
	}
	if !f.count("materials", len(b.Materials), MaxMaterials) {
		return
	}
	for i, m := range b.Materials {
		field := fmt.Sprintf("materials[%d]", i)
		f.text(field+".name", m.Name, 1)
		f.text(field+".uri", m.URI, 1)
		if len(m.Digest) < 1 || len(m.Digest) > 4 {
			f.add(field+".digest", fmt.Sprintf("%d digests", len(m.Digest)), "1 to 4")
			continue
		}
		for _, algorithm := range sortedKeys(m.Digest) {
			// The names are those of in-toto's DigestSet.
			size, known := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64, "sha1": 20, "gitCommit": 20, "goModuleH1": 32}[algorithm]
			if !known || !isHex(m.Digest[algorithm], size) {
				f.add(field+".digest", algorithm+":"+m.Digest[algorithm], "sha256, sha384, sha512, sha1, gitCommit or goModuleH1 in lower-case hex")
			}
		}
	}
}

// value is text of a caller, which may have line breaks.
func (f *faults) value(field, s string) {
	if len(s) > maxText || !utf8.ValidString(s) {
		f.add(field, s, fmt.Sprintf("at most %d bytes of UTF-8", maxText))
	}
}

func (f *faults) source(s *Source) {
	f.text("source.repository", s.Repository, 1)
	if !isRepository(s.Repository) {
		f.add("source.repository", s.Repository, "a canonical https, http or file URL without user, query and fragment")
	}
	f.text("source.ref", s.Ref, 0)
	f.text("source.path", s.Path, 0)
	f.text("source.branch", s.Branch, 1)
	if !strings.HasPrefix(s.Branch, "refs/") {
		f.add("source.branch", s.Branch, "a full name such as refs/heads/main")
	}
	f.text("source.signer", s.Signer, 0)
	if !slices.Contains([]string{"archive", "clone"}, s.Method) {
		f.add("source.method", s.Method, "archive or clone")
	}
	if len(s.Object) == 0 || len(s.Object) > MaxObject {
		f.add("source.object", fmt.Sprintf("%d bytes", len(s.Object)), fmt.Sprintf("1 to %d bytes", MaxObject))
		return
	}
	c, err := commit.Parse(s.Object)
	if err != nil {
		f.add("source.object", fmt.Sprintf("%d bytes", len(s.Object)), "a raw commit object: "+status.Public(err).Detail)
		return
	}
	if c.ID != s.Commit || c.ID == "" {
		f.add("source.commit", s.Commit, "the digest of the commit object, "+c.ID)
	}
	if c.Tree != s.Tree || c.Tree == "" {
		f.add("source.tree", s.Tree, "the tree of the commit object, "+c.Tree)
	}
}

// isRepository reports whether a text is the one URL of a repository. http says
// as much as https of where a builder asked, and who reads it decides whether that is
// enough: nobody authenticated the answer.
func isRepository(s string) bool {
	if strings.ContainsAny(s, "@?# ") {
		return false
	}
	if strings.HasPrefix(s, "file:///") {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && strings.HasPrefix(s, u.Scheme+"://") &&
		u.Hostname() != "" && strings.ToLower(u.Host) == u.Host && u.User == nil && u.Path != "" && u.Path != "/"
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
