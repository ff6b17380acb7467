package receipt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"apocryph/manifest"
	"apocryph/proto/status"
)

const (
	// statementType is that of in-toto's Statement v1.
	statementType = "https://in-toto.io/Statement/v1"
	// PredicateType names what the predicate of a receipt means.
	PredicateType = "urn:apocryph:pod:0.0.1"
	digestPrefix  = "sha256:"
)

// statement is the JSON of an in-toto Statement v1 about a pod.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	Provider       string     `json:"provider"`
	PodID          string     `json:"podId"`
	Revision       uint64     `json:"revision"`
	ManifestDigest string     `json:"manifestDigest"`
	Images         []image    `json:"images"`
	Endpoints      []endpoint `json:"endpoints"`
	BootEpoch      string     `json:"bootEpoch"`
	Log            *logPlace  `json:"podLog,omitempty"`
	Provenance     []string   `json:"provenance,omitempty"`
	Started        string     `json:"started"`
	Issued         string     `json:"issued"`
}

type image struct {
	Container string `json:"container"`
	ImageID   string `json:"imageId"`
	CID       string `json:"cid"`
}

type endpoint struct {
	Container string `json:"container"`
	Protocol  string `json:"protocol"`
	URL       string `json:"url"`
}

type logPlace struct {
	Position uint64 `json:"position"`
	Head     string `json:"head"`
}

// timeForm has milliseconds always, so that one time has one text.
const timeForm = "2006-01-02T15:04:05.000Z"

func encode(r Receipt) ([]byte, error) {
	s := statement{
		Type: statementType, PredicateType: PredicateType,
		Predicate: predicate{
			Provider: r.Provider, PodID: r.PodID, Revision: r.Revision, ManifestDigest: r.Manifest.String(),
			Images: []image{}, Endpoints: []endpoint{}, BootEpoch: hex.EncodeToString(r.BootEpoch),
			Started: r.Started.UTC().Format(timeForm), Issued: r.Issued.UTC().Format(timeForm),
		},
	}
	for _, i := range r.Images {
		s.Subject = append(s.Subject, subject{Name: i.Container, Digest: map[string]string{"sha256": strings.TrimPrefix(i.ImageID, digestPrefix)}})
		s.Predicate.Images = append(s.Predicate.Images, image(i))
	}
	for _, e := range r.Endpoints {
		s.Predicate.Endpoints = append(s.Predicate.Endpoints, endpoint(e))
	}
	for _, p := range r.Provenance {
		s.Predicate.Provenance = append(s.Predicate.Provenance, p.String())
	}
	if len(r.LogHead) > 0 {
		s.Predicate.Log = &logPlace{r.LogPosition, hex.EncodeToString(r.LogHead)}
	}
	return json.Marshal(s)
}

// decode reads a statement and refuses what encode would not have written: a
// field that this version does not know could change what the rest means.
func decode(b []byte) (Receipt, error) {
	var s statement
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(&s)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = fmt.Errorf("more follows the statement")
		}
	}
	if err != nil {
		return Receipt{}, status.Wrap(err, status.InvalidArgument, "receipt.parse", "the receipt is not an in-toto statement about a pod")
	}
	p := s.Predicate
	r := Receipt{Provider: p.Provider, PodID: p.PodID, Revision: p.Revision}
	f := faults{}
	f.want("_type", s.Type, statementType)
	f.want("predicateType", s.PredicateType, PredicateType)
	f.text("predicate.provider", p.Provider)
	f.text("predicate.podId", p.PodID)
	if p.Revision == 0 {
		f.add("predicate.revision", "0", "at least 1")
	}
	r.Manifest = f.digest("predicate.manifestDigest", p.ManifestDigest)
	r.BootEpoch = f.hex("predicate.bootEpoch", p.BootEpoch)
	r.Started = f.time("predicate.started", p.Started)
	r.Issued = f.time("predicate.issued", p.Issued)
	f.lists(&r, s)
	if p.Log != nil {
		r.LogPosition, r.LogHead = p.Log.Position, f.hex("predicate.podLog.head", p.Log.Head)
	}
	if len(f.list) > 0 {
		return Receipt{}, status.Invalid("receipt.invalid", "the receipt", f.list)
	}
	// Keys that are there twice, or in another case, are read differently by
	// different tools. Only what encode writes is a receipt.
	if again, err := encode(r); err != nil || !bytes.Equal(again, b) {
		return Receipt{}, status.Wrap(err, status.InvalidArgument, "receipt.parse", "the receipt is not in the one form that its fields have")
	}
	return r, nil
}

// lists reads everything of which there may be several. The subjects say again
// what the images are: two tools must not see two different things.
func (f *faults) lists(r *Receipt, s statement) {
	p := s.Predicate
	if !f.count("predicate.images", len(p.Images), 1, MaxImages) || !f.count("predicate.endpoints", len(p.Endpoints), 0, MaxEndpoints) ||
		!f.count("predicate.provenance", len(p.Provenance), 0, MaxProvenance) || !f.count("subject", len(s.Subject), len(p.Images), len(p.Images)) {
		return
	}
	for i, img := range p.Images {
		field := fmt.Sprintf("predicate.images[%d]", i)
		f.text(field+".container", img.Container)
		f.text(field+".cid", img.CID)
		f.digest(field+".imageId", img.ImageID)
		same := s.Subject[i]
		if len(same.Digest) != 1 || digestPrefix+same.Digest["sha256"] != img.ImageID || same.Name != img.Container {
			f.add(fmt.Sprintf("subject[%d]", i), same.Name, "the container and digest of "+field)
		}
		r.Images = append(r.Images, Image(img))
	}
	for i, e := range p.Endpoints {
		field := fmt.Sprintf("predicate.endpoints[%d]", i)
		f.text(field+".container", e.Container)
		f.text(field+".protocol", e.Protocol)
		f.text(field+".url", e.URL)
		r.Endpoints = append(r.Endpoints, Endpoint(e))
	}
	for i, d := range p.Provenance {
		r.Provenance = append(r.Provenance, f.digest(fmt.Sprintf("predicate.provenance[%d]", i), d))
	}
}

type faults struct{ list []status.Fault }

func (f *faults) add(field, got, want string) {
	f.list = append(f.list, status.Fault{Field: field, Got: fmt.Sprintf("%.80q", got), Want: want})
}

func (f *faults) want(field, got, want string) {
	if got != want {
		f.add(field, got, want)
	}
}

func (f *faults) text(field, s string) {
	if s == "" || len(s) > maxText || strings.ContainsFunc(s, unicode.IsControl) {
		f.add(field, s, fmt.Sprintf("1 to %d bytes without control characters", maxText))
	}
}

func (f *faults) count(field string, got, least, most int) bool {
	ok := least <= got && got <= most
	if !ok {
		f.add(field, fmt.Sprintf("%d entries", got), fmt.Sprintf("%d to %d", least, most))
	}
	return ok
}

func (f *faults) digest(field, s string) manifest.Digest {
	var d manifest.Digest
	text, ok := strings.CutPrefix(s, digestPrefix)
	b, err := hex.DecodeString(text)
	if !ok || err != nil || len(b) != len(d) || s != digestPrefix+hex.EncodeToString(b) {
		f.add(field, s, "sha256:HEX")
		return d
	}
	return manifest.Digest(b)
}

func (f *faults) hex(field, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) == 0 || len(b) > 64 || hex.EncodeToString(b) != s {
		f.add(field, s, "1 to 64 bytes in lower case hex")
	}
	return b
}

func (f *faults) time(field, s string) time.Time {
	t, err := time.Parse(timeForm, s)
	if err != nil || t.UTC().Format(timeForm) != s {
		f.add(field, s, "a time such as "+timeForm)
	}
	return t.UTC()
}
