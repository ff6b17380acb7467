package httpapi

import (
	"net/http"
	"time"

	"apocryph/proto/status"
	"apocryph/provider/artifacts"
	"apocryph/provider/auth"
)

// newArtifact is the body of POST /api/v1/artifacts.
type newArtifact struct {
	Name        string            `json:"name"`
	ContentType string            `json:"content_type,omitempty"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// artifact is an artifact as it is shown.
type artifact struct {
	ID          string `json:"id"`
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	// Size is in bytes, 0 until the content is here.
	Size int64 `json:"size"`
	// SHA256 is in hex, empty until the content is here.
	SHA256   string            `json:"sha256"`
	Complete bool              `json:"complete"`
	Labels   map[string]string `json:"labels"`
	// UploadURL takes the content, DownloadURL has it.
	UploadURL   string    `json:"upload_url"`
	DownloadURL string    `json:"download_url"`
	CreatedBy   string    `json:"created_by"`
	CreatedAt   time.Time `json:"created_at"`
	// CompletedAt is absent until the content is here.
	CompletedAt *time.Time `json:"completed_at,omitempty"`
}

func artifactView(a artifacts.Artifact) artifact {
	at := "/api/v1/artifacts/" + a.ID
	v := artifact{
		ID: a.ID, Namespace: a.Namespace, Name: a.Name, ContentType: a.ContentType, Size: a.Size, SHA256: a.SHA256, Complete: a.Complete,
		Labels: a.Labels, UploadURL: at + "/upload", DownloadURL: at + "/download", CreatedBy: a.CreatedBy, CreatedAt: a.Created,
	}
	if a.Complete {
		v.CompletedAt = &a.Completed
	}
	if v.Labels == nil {
		v.Labels = map[string]string{}
	}
	return v
}

func (c *call) createArtifact() error {
	var in newArtifact
	if err := c.decode(&in); err != nil {
		return err
	}
	ns, err := c.place(in.Namespace)
	if err != nil {
		return err
	}
	a, err := c.api.cfg.Artifacts.Create(c.ctx(), ns, in.Name, in.ContentType, c.caller.Subject, in.Labels)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", "/api/v1/artifacts/"+a.ID)
	return c.json(http.StatusCreated, artifactView(a))
}

func (c *call) listArtifacts() error {
	ns, err := c.listed()
	if err != nil {
		return err
	}
	p, err := c.pageOf(0)
	if err != nil {
		return err
	}
	all, err := c.api.cfg.Artifacts.List(c.ctx(), ns)
	if err != nil {
		return err
	}
	var shown []artifact
	for _, a := range cut(all, p) {
		shown = append(shown, artifactView(a))
	}
	return c.json(http.StatusOK, listOf(shown, len(all), p))
}

// theArtifact is the artifact of the path, if the caller may do that with it.
func (c *call) theArtifact(action auth.Action) (artifacts.Artifact, error) {
	id := c.r.PathValue("id")
	return find(c, action, func(ns string) (artifacts.Artifact, error) {
		return c.api.cfg.Artifacts.Get(c.ctx(), ns, id)
	}, func(a artifacts.Artifact) string { return a.Namespace })
}

func (c *call) getArtifact() error {
	a, err := c.theArtifact(auth.ActionRead)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, artifactView(a))
}

func (c *call) deleteArtifact() error {
	a, err := c.theArtifact(auth.ActionDeploy)
	if err != nil {
		return err
	}
	if err := c.api.cfg.Artifacts.Delete(c.ctx(), a.Namespace, a.ID); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// uploadArtifact takes the content as it is. The same bytes once more are
// answered as the first time, others are a conflict.
func (c *call) uploadArtifact() error {
	a, err := c.theArtifact(auth.ActionDeploy)
	if err != nil {
		return err
	}
	// Without a type it may be taken for bytes (RFC 9110, 8.3), as curl -T sends it.
	if m := c.media(); c.r.Header.Get("Content-Type") != "" && m != "application/octet-stream" && m != a.ContentType {
		return wrongMedia(c.r.Header.Get("Content-Type"), "application/octet-stream (curl -H 'Content-Type: application/octet-stream' --data-binary @FILE)")
	}
	if e := c.r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return status.Invalid("upload.media_type", "the body", []status.Fault{{Field: "Content-Encoding", Got: brief(e), Want: "none: the content is kept as it is sent"}})
	}
	want, err := digests(c.r.Header)
	if err != nil {
		return err
	}
	in, leave, err := c.upload(0)
	if err != nil {
		return err
	}
	defer leave()
	a, err = c.api.cfg.Artifacts.Upload(c.ctx(), a.Namespace, a.ID, in, want)
	if err != nil {
		return in.blame(err)
	}
	c.patient()
	return c.json(http.StatusOK, artifactView(a))
}
