package state

import (
	"time"

	"apocryph/manifest"
	"apocryph/publisher"
)

// appVersion is the version of an app's file.
const appVersion = 1

// record is an app's file. Its names are this package's own, so that renaming
// a field elsewhere does not orphan what is on disk.
type record struct {
	Version        int              `json:"version"`
	Name           string           `json:"name"`
	Provider       string           `json:"provider"`
	Addrs          []string         `json:"addrs,omitempty"`
	PodID          string           `json:"pod_id,omitempty"`
	Revision       uint64           `json:"revision,omitempty"`
	ManifestDigest string           `json:"manifest_digest,omitempty"`
	Images         []imageRecord    `json:"images,omitempty"`
	Endpoints      []endpointRecord `json:"endpoints,omitempty"`
	URL            string           `json:"url,omitempty"`
	Verdict        string           `json:"verdict,omitempty"`
	Receipt        []byte           `json:"receipt,omitempty"`
	ReceiptKey     []byte           `json:"receipt_key,omitempty"`
	Past           []pastRecord     `json:"past,omitempty"`
	Pending        *pendingRecord   `json:"pending,omitempty"`
	Created        time.Time        `json:"created"`
	Updated        time.Time        `json:"updated"`
}

type pastRecord struct {
	Revision       uint64        `json:"revision"`
	ManifestDigest string        `json:"manifest_digest"`
	Images         []imageRecord `json:"images,omitempty"`
}

type imageRecord struct {
	Container       string `json:"container"`
	CID             string `json:"cid,omitempty"`
	ImageID         string `json:"image_id,omitempty"`
	EncryptedDigest string `json:"encrypted_digest,omitempty"`
	KeyID           string `json:"key_id,omitempty"`
	Repository      string `json:"repository,omitempty"`
	Commit          string `json:"commit,omitempty"`
	Tree            string `json:"tree,omitempty"`
	Statement       string `json:"statement,omitempty"`
}

type endpointRecord struct {
	Container string `json:"container"`
	Port      uint16 `json:"port,omitempty"`
	Protocol  string `json:"protocol,omitempty"`
	URL       string `json:"url,omitempty"`
	Dial      string `json:"dial,omitempty"`
}

type pendingRecord struct {
	RequestID string    `json:"request_id"`
	Sent      time.Time `json:"sent"`
}

// put takes over an app.
func (r *record) put(a publisher.App) {
	r.Version, r.Name, r.Provider, r.Addrs = appVersion, a.Name, string(a.Provider.ID), a.Provider.Addrs
	r.PodID, r.Revision, r.ManifestDigest, r.URL, r.Verdict = a.PodID, a.Revision, a.ManifestDigest, a.URL, a.Verdict
	r.Receipt, r.ReceiptKey = a.Receipt, a.ReceiptKey
	r.Created, r.Updated = a.Created, a.Updated
	r.Images, r.Endpoints, r.Past, r.Pending = imageRecords(a.Images), nil, nil, nil
	for _, p := range a.Past {
		r.Past = append(r.Past, pastRecord{p.Revision, p.ManifestDigest, imageRecords(p.Images)})
	}
	for _, e := range a.Endpoints {
		r.Endpoints = append(r.Endpoints, endpointRecord{Container: e.Container, Port: e.Port, Protocol: string(e.Protocol), URL: e.URL, Dial: e.Dial})
	}
	if a.Pending != nil {
		r.Pending = &pendingRecord{RequestID: a.Pending.RequestID, Sent: a.Pending.Sent}
	}
}

func (r *record) app() publisher.App {
	a := publisher.App{
		Name: r.Name, Provider: publisher.Target{ID: publisher.ProviderID(r.Provider), Addrs: r.Addrs},
		PodID: r.PodID, Revision: r.Revision, ManifestDigest: r.ManifestDigest, URL: r.URL, Verdict: r.Verdict,
		Receipt: r.Receipt, ReceiptKey: r.ReceiptKey, Created: r.Created, Updated: r.Updated,
	}
	a.Images = imagesOf(r.Images)
	for _, p := range r.Past {
		a.Past = append(a.Past, publisher.AppRevision{Revision: p.Revision, ManifestDigest: p.ManifestDigest, Images: imagesOf(p.Images)})
	}
	for _, e := range r.Endpoints {
		a.Endpoints = append(a.Endpoints, publisher.Endpoint{Container: e.Container, Port: e.Port, Protocol: manifest.Protocol(e.Protocol), URL: e.URL, Dial: e.Dial})
	}
	if r.Pending != nil {
		a.Pending = &publisher.Pending{RequestID: r.Pending.RequestID, Sent: r.Pending.Sent}
	}
	return a
}

func imageRecords(in []publisher.AppImage) []imageRecord {
	var out []imageRecord
	for _, i := range in {
		out = append(out, imageRecord(i))
	}
	return out
}

func imagesOf(in []imageRecord) []publisher.AppImage {
	var out []publisher.AppImage
	for _, i := range in {
		out = append(out, publisher.AppImage(i))
	}
	return out
}
