package httpclient

import (
	"regexp"
	"time"

	"apocryph/proto/status"
)

// Deployment is what the API says of a deployment, as far as a publisher wants
// to know. Every text is the provider's.
type Deployment struct {
	ID             string   `json:"id"`
	Namespace      string   `json:"namespace"`
	App            string   `json:"app"`
	Environment    string   `json:"environment"`
	Revision       uint64   `json:"revision"`
	Status         string   `json:"status"`
	Stage          string   `json:"stage"`
	ImageDigest    string   `json:"image_digest"`
	ManifestDigest string   `json:"manifest_digest"`
	URL            string   `json:"url"`
	PreviewURL     string   `json:"preview_url"`
	PodID          string   `json:"pod_id"`
	Warnings       []string `json:"warnings"`
	Failure        *Failure `json:"error"`
	AppID          string   `json:"app_id"`
	// Rollback is the revision that was brought back, 0 where it is a new one.
	Rollback uint64    `json:"rollback_of"`
	Created  time.Time `json:"created_at"`
	Updated  time.Time `json:"updated_at"`
}

// Failure is why a deployment failed.
type Failure struct {
	Code   string      `json:"code"`
	Detail string      `json:"detail"`
	Hint   string      `json:"hint"`
	Log    []string    `json:"logs_tail"`
	Class  status.Code `json:"class"`
}

// Event is one thing that happened.
type Event struct {
	// Kind is "upload", which is this side's, or of the API "status", "progress",
	// "log" or "result".
	Kind string `json:"kind"`
	// Seq is the API's number of the event.
	Seq uint64 `json:"seq"`
	// Text is a log's line, or a progress's stage.
	Text string `json:"text"`
	// Done and Total are bytes; a Total of 0 counts nothing.
	Done       int64       `json:"done"`
	Total      int64       `json:"total"`
	Deployment *Deployment `json:"deployment"`
}

// Plan is the answer to a dry run.
type Plan struct {
	App         string   `json:"app"`
	Environment string   `json:"environment"`
	Operation   string   `json:"operation"`
	Changes     []Change `json:"changes"`
	Warnings    []string `json:"warnings"`
}

// Change is one field that a deployment would change.
type Change struct {
	Field string `json:"field"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

// idPattern is what may stand in a path; the API's ids are UUIDs.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// ended reports whether nothing more will happen.
func (d *Deployment) ended() bool {
	return d.Status == "succeeded" || d.Status == "failed" || d.Status == "cancelled"
}

// err is the error of a deployment that has ended, nil for one that succeeded.
func (d *Deployment) err() error {
	switch {
	case d.Status == "succeeded":
		return nil
	case d.Status == "failed" && d.Failure != nil:
		f := d.Failure
		e := status.New(f.Class, f.Code, "%s", f.Detail).WithHint("%s", f.Hint)
		e.Log = f.Log
		return status.FromPeer(e)
	case d.Status == "failed":
		return status.New(status.Unavailable, "deployment.failed", "the deployment failed, and the provider does not say why")
	}
	return status.New(status.Conflict, "deployment.cancelled", "the deployment was cancelled")
}
