package ipdr

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"apocryph/p2p/content"
	"apocryph/proto/status"
)

// Caps on what is attached to an image: each costs links in every directory.
const (
	maxReferrers   = 16
	maxReferrer    = 4 << 20
	maxAnnotations = 16
)

const (
	// emptyType and emptyJSON are the configuration of an artifact that has none
	// (OCI image specification 1.1, "Guidance for an Empty Descriptor").
	emptyType = "application/vnd.oci.empty.v1+json"
	emptyJSON = "{}"
)

// The media types of what builds attach.
const (
	// TypeInToto is a statement of in-toto's in a DSSE envelope.
	TypeInToto = "application/vnd.in-toto+json"
	// TypeCycloneDX is a bill of materials.
	TypeCycloneDX = "application/vnd.cyclonedx+json"
)

// Referrer is a document about an image that travels with it: an artifact whose
// subject is the image's manifest.
type Referrer struct {
	// Type is the media type of the document and of the artifact.
	Type string
	Data []byte
	// Annotations may be nil.
	Annotations map[string]string
	// CID is the document's own on IPFS, CIDv1 in base32: it can be had without the
	// image. [Build] and [Referrers] set it.
	CID string
}

// artifact is the manifest of an artifact (OCI image specification 1.1).
type artifact struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        Descriptor        `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Subject       Descriptor        `json:"subject"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// referrers is the index of a subject's artifacts, as the referrers API answers.
type referrers struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []referrerOf `json:"manifests"`
}

type referrerOf struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	ArtifactType string            `json:"artifactType"`
}

// attached are the nodes of an image's artifacts.
type attached struct {
	// blobs by digest are documents and the empty configuration, manifests those of
	// the artifacts.
	blobs, manifests map[string]content.Node
	// index is under the tag that the distribution specification falls back to where
	// a registry has no referrers API.
	tag   string
	index content.Node
}

// attach adds the artifacts of a subject; nil where there are none.
func attach(ctx context.Context, s *content.Store, subject Descriptor, list []Referrer) (*attached, error) {
	if len(list) == 0 {
		return nil, nil
	}
	hex, _ := hexOf(subject.Digest)
	a := &attached{blobs: map[string]content.Node{}, manifests: map[string]content.Node{}, tag: "sha256-" + hex}
	empty, err := s.AddBytes(ctx, []byte(emptyJSON))
	if err != nil {
		return nil, err
	}
	a.blobs[empty.Digest] = empty
	all := referrers{SchemaVersion: 2, MediaType: ociIndex}
	for i, r := range list {
		data, err := s.AddBytes(ctx, r.Data)
		if err != nil {
			return nil, err
		}
		list[i].CID = data.CID.String()
		a.blobs[data.Digest] = data
		b, err := json.Marshal(artifact{
			SchemaVersion: 2, MediaType: ociManifest, ArtifactType: r.Type, Config: Descriptor{MediaType: emptyType, Digest: empty.Digest, Size: empty.Size},
			Layers: []Descriptor{{MediaType: r.Type, Digest: data.Digest, Size: data.Size}}, Subject: subject, Annotations: r.Annotations,
		})
		if err != nil {
			return nil, err
		}
		m, err := s.AddBytes(ctx, b)
		if err != nil {
			return nil, err
		}
		a.manifests[m.Digest] = m
		all.Manifests = append(all.Manifests, referrerOf{ociManifest, m.Digest, m.Size, r.Annotations, r.Type})
	}
	b, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	a.index, err = s.AddBytes(ctx, b)
	return a, err
}

func checkReferrers(list []Referrer, fault func(field string, got, want any)) {
	if len(list) > maxReferrers {
		fault("referrers", len(list), fmt.Sprintf("at most %d", maxReferrers))
		return
	}
	seen := map[string]bool{}
	for i, r := range list {
		field := fmt.Sprintf("referrers[%d]", i)
		if main, sub, ok := strings.Cut(r.Type, "/"); !ok || main == "" || sub == "" || len(r.Type) > 255 {
			fault(field+".type", fmt.Sprintf("%.80q", r.Type), "a media type")
		}
		if len(r.Data) == 0 || len(r.Data) > maxReferrer {
			fault(field+".data", fmt.Sprintf("%d bytes", len(r.Data)), fmt.Sprintf("1 to %d", maxReferrer))
		}
		if len(r.Annotations) > maxAnnotations {
			fault(field+".annotations", len(r.Annotations), fmt.Sprintf("at most %d", maxAnnotations))
		}
		if key := r.Type + digestOf(r.Data); seen[key] {
			fault(field, "the document a second time", "each once")
		} else {
			seen[key] = true
		}
	}
}

// Referrers brings the documents that are attached to an image of digest
// subject, in the order in which they were. What does not fit its digest or names
// another subject is untrusted. There are none where nothing is attached.
func Referrers(ctx context.Context, s *content.Store, from content.Origin, subject string) ([]Referrer, error) {
	list, err := referred(ctx, s, from, subject)
	if err != nil {
		return nil, fmt.Errorf("reading what is attached to image %s: %w", from.Root, err)
	}
	return list, nil
}

func referred(ctx context.Context, s *content.Store, from content.Origin, subject string) ([]Referrer, error) {
	hex, ok := hexOf(subject)
	if !ok {
		return nil, status.New(status.InvalidArgument, "image.digest", "the digest %.80q is not sha256: and 64 hex digits", subject)
	}
	if err := s.FetchTree(ctx, from); err != nil {
		return nil, err
	}
	t, err := readTree(ctx, s, from.Root)
	if err != nil {
		return nil, err
	}
	n, ok := t.manifests["sha256-"+hex]
	if !ok || n.Dir {
		return nil, nil
	}
	b, err := s.FetchBytes(ctx, from, n.CID, maxIndex)
	if err != nil {
		return nil, err
	}
	var all referrers
	if err := strictJSON(b, &all); err != nil || len(all.Manifests) > maxReferrers {
		return nil, status.Wrap(err, status.InvalidArgument, "image.referrers", "the list of what is attached has %d entries or is not valid JSON, want at most %d", len(all.Manifests), maxReferrers)
	}
	var out []Referrer
	for _, d := range all.Manifests {
		r, err := oneReferrer(ctx, s, from, t, d, subject)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func oneReferrer(ctx context.Context, s *content.Store, from content.Origin, t *names, d referrerOf, subject string) (Referrer, error) {
	part := func(d Descriptor, what string, limit int64) ([]byte, error) {
		if _, ok := hexOf(d.Digest); !ok || d.Size < 0 {
			return nil, status.New(status.InvalidArgument, "image.referrers", "an %s has digest %.80q and %d bytes", what, d.Digest, d.Size)
		}
		n, err := t.blob(d.Digest)
		if err != nil {
			return nil, err
		}
		return fetchChecked(ctx, s, from, n, d, what, limit)
	}
	b, err := part(Descriptor{Digest: d.Digest, Size: d.Size}, "artifact's manifest", maxManifest)
	if err != nil {
		return Referrer{}, err
	}
	var a artifact
	if err := strictJSON(b, &a); err != nil {
		return Referrer{}, status.Wrap(err, status.InvalidArgument, "image.referrers", "an artifact's manifest is not valid JSON")
	}
	if a.Subject.Digest != subject || len(a.Layers) != 1 || a.ArtifactType != d.ArtifactType || a.Layers[0].MediaType != a.ArtifactType || len(a.Annotations) > maxAnnotations {
		return Referrer{}, status.New(status.Untrusted, "image.referrers", "an artifact of type %.80q is about %.80q, want one document about %s", a.ArtifactType, a.Subject.Digest, subject)
	}
	data, err := part(a.Layers[0], "artifact's document", maxReferrer)
	if err != nil {
		return Referrer{}, err
	}
	n, err := t.blob(a.Layers[0].Digest)
	return Referrer{Type: a.ArtifactType, Data: data, Annotations: a.Annotations, CID: n.CID.String()}, err
}
