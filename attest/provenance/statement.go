package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"apocryph/manifest"
	"apocryph/proto/status"
)

const (
	statementType = "https://in-toto.io/Statement/v1"
	// PredicateType is that of SLSA Provenance v1.
	PredicateType = "https://slsa.dev/provenance/v1"
	// BuildType says what the parameters of a build mean.
	BuildType = "urn:apocryph:build:0.0.1"
	// SBOMType is the media type of bills of materials.
	SBOMType = "application/vnd.cyclonedx+json"

	builderPrefix = "urn:apocryph:provider:"
	digestPrefix  = "sha256:"
	// timeForm has milliseconds always, so that one time has one text.
	timeForm = "2006-01-02T15:04:05.000Z"
)

// The names of the subjects and byproducts.
const (
	subjectImageID = "image-id"
	subjectImage   = "manifest"
	subjectBinary  = "binary"
	nameSource     = "source"
	nameSBOM       = "sbom"
)

// BuilderOf is the URI of a provider, by the text form of its peer id.
func BuilderOf(provider string) string { return builderPrefix + provider }

type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     predicate  `json:"predicate"`
}

type predicate struct {
	BuildDefinition definition `json:"buildDefinition"`
	RunDetails      details    `json:"runDetails"`
}

type definition struct {
	BuildType            string     `json:"buildType"`
	External             external   `json:"externalParameters"`
	Internal             internal   `json:"internalParameters"`
	ResolvedDependencies []resource `json:"resolvedDependencies"`
}

type external struct {
	Source     *origin           `json:"source,omitempty"`
	Upload     string            `json:"upload,omitempty"`
	Runtime    string            `json:"runtime"`
	Entry      string            `json:"entry"`
	Parameters map[string]string `json:"parameters"`
}

type origin struct {
	Repository string `json:"repository"`
	Ref        string `json:"ref"`
	Path       string `json:"path"`
}

type internal struct {
	Argv []string `json:"argv"`
}

// resource is in-toto's ResourceDescriptor.
type resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Content     string            `json:"content,omitempty"`
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations *annotations      `json:"annotations,omitempty"`
}

type annotations struct {
	Branch string `json:"apocryph_branch"`
	Method string `json:"apocryph_method"`
	Signer string `json:"apocryph_signer"`
	Tree   string `json:"apocryph_tree"`
}

type details struct {
	Builder    builder    `json:"builder"`
	Metadata   metadata   `json:"metadata"`
	Byproducts []resource `json:"byproducts,omitempty"`
}

type builder struct {
	ID string `json:"id"`
}

type metadata struct {
	InvocationID string `json:"invocationId"`
	StartedOn    string `json:"startedOn"`
	FinishedOn   string `json:"finishedOn"`
}

// Digest is that of a statement, as receipts and the pod log name it.
func Digest(payload []byte) manifest.Digest { return sha256.Sum256(payload) }

// Encode returns the statement about a build, at most [MaxStatement] bytes. Times have
// whole milliseconds there; what is below is dropped. A
// build with faults is invalid_argument, reason "provenance.invalid"; all faults are
// told.
func Encode(b Build) ([]byte, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	out, err := json.Marshal(b.statement())
	if err != nil {
		return nil, status.Wrap(err, status.Internal, "provenance.encode", "encoding a statement about a build")
	}
	if len(out) > MaxStatement {
		return nil, tooLarge(len(out))
	}
	return out, nil
}

func (b *Build) statement() statement {
	d := definition{
		BuildType: BuildType,
		External:  external{Upload: b.Upload, Runtime: b.Runtime, Entry: b.Entry, Parameters: b.Parameters},
		Internal:  internal{b.Argv}, ResolvedDependencies: []resource{},
	}
	if d.External.Parameters == nil {
		d.External.Parameters = map[string]string{}
	}
	if d.Internal.Argv == nil {
		d.Internal.Argv = []string{}
	}
	if s := b.Source; s != nil {
		d.External.Source = &origin{s.Repository, s.Ref, s.Path}
		d.ResolvedDependencies = append(d.ResolvedDependencies, resource{
			Name: nameSource, URI: s.uri(), Digest: map[string]string{"gitCommit": s.Commit}, Content: base64.StdEncoding.EncodeToString(s.Object),
			Annotations: &annotations{s.Branch, s.Method, s.Signer, s.Tree},
		})
	}
	for _, m := range b.Materials {
		d.ResolvedDependencies = append(d.ResolvedDependencies, resource{Name: m.Name, URI: m.URI, Digest: m.Digest})
	}
	s := statement{Type: statementType, PredicateType: PredicateType, Predicate: predicate{
		BuildDefinition: d,
		RunDetails: details{Builder: builder{b.Builder}, Metadata: metadata{
			b.ID, b.Started.UTC().Format(timeForm), b.Finished.UTC().Format(timeForm),
		}},
	}}
	s.Subject = append(s.Subject, subjectOf(subjectImageID, b.ImageID), subjectOf(subjectImage, b.Image))
	if b.Binary != "" {
		s.Subject = append(s.Subject, subjectOf(subjectBinary, b.Binary))
	}
	if b.SBOM != "" {
		sbom := subjectOf(nameSBOM, b.SBOM)
		sbom.MediaType = SBOMType
		s.Predicate.RunDetails.Byproducts = []resource{sbom}
	}
	return s
}

// uri is that of SPDX for version control, as SLSA's examples have it.
func (s *Source) uri() string { return "git+" + s.Repository + "@" + s.Branch }

func subjectOf(name, digest string) resource {
	return resource{Name: name, Digest: map[string]string{"sha256": strings.TrimPrefix(digest, digestPrefix)}}
}

// Decode reads what [Encode] wrote and nothing else: a field that this version does
// not know could change what the rest means. Statements in another form are
// invalid_argument, reason "provenance.parse", those of builds that cannot be
// "provenance.invalid".
func Decode(payload []byte) (Build, error) {
	if len(payload) > MaxStatement {
		return Build{}, tooLarge(len(payload))
	}
	fail := func(cause error) (Build, error) {
		return Build{}, status.Wrap(cause, status.InvalidArgument, "provenance.parse", "this is not a statement about a build in the one form that its fields have")
	}
	var s statement
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return fail(err)
	}
	b, ok := s.build()
	if !ok {
		return fail(nil)
	}
	if err := b.Check(); err != nil {
		return Build{}, err
	}
	// Keys that are there twice, or in another case, are read differently by
	// different tools.
	if again, err := Encode(b); err != nil || !bytes.Equal(again, payload) {
		return fail(err)
	}
	return b, nil
}

// build reads what is there; that nothing else is there shows when it is written
// again.
func (s *statement) build() (b Build, ok bool) {
	d, r := s.Predicate.BuildDefinition, s.Predicate.RunDetails
	b = Build{
		ID: r.Metadata.InvocationID, Builder: r.Builder.ID, Upload: d.External.Upload, Runtime: d.External.Runtime, Entry: d.External.Entry,
		Parameters: d.External.Parameters, Argv: d.Internal.Argv,
	}
	if len(b.Parameters) == 0 {
		b.Parameters = nil
	}
	if len(b.Argv) == 0 {
		b.Argv = nil
	}
	for _, x := range s.Subject {
		if field := map[string]*string{subjectImageID: &b.ImageID, subjectImage: &b.Image, subjectBinary: &b.Binary}[x.Name]; field != nil {
			*field = digestPrefix + x.Digest["sha256"]
		}
	}
	for _, x := range r.Byproducts {
		b.SBOM = digestPrefix + x.Digest["sha256"]
	}
	materials := d.ResolvedDependencies
	if e := d.External.Source; e != nil {
		if len(materials) == 0 || materials[0].Annotations == nil {
			return b, false
		}
		x := materials[0]
		object, err := base64.StdEncoding.DecodeString(x.Content)
		if err != nil {
			return b, false
		}
		a := x.Annotations
		b.Source = &Source{
			Repository: e.Repository, Ref: e.Ref, Path: e.Path, Commit: x.Digest["gitCommit"], Object: object,
			Branch: a.Branch, Method: a.Method, Signer: a.Signer, Tree: a.Tree,
		}
		materials = materials[1:]
	}
	for _, x := range materials {
		b.Materials = append(b.Materials, Material{x.Name, x.URI, x.Digest})
	}
	var errStart, errEnd error
	b.Started, errStart = time.Parse(timeForm, r.Metadata.StartedOn)
	b.Finished, errEnd = time.Parse(timeForm, r.Metadata.FinishedOn)
	return b, errStart == nil && errEnd == nil
}

func tooLarge(n int) error {
	return status.New(status.InvalidArgument, "provenance.too_large", "the statement about a build has %d bytes, want at most %d", n, MaxStatement)
}

func isDigest(s string) bool {
	text, ok := strings.CutPrefix(s, digestPrefix)
	return ok && isHex(text, sha256.Size)
}

// isHex reports whether s is n bytes in lower-case hex.
func isHex(s string, n int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == n && hex.EncodeToString(b) == s
}
