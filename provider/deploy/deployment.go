package deploy

import (
	"time"

	"apocryph/proto/status"
)

// Status is where a deployment is: pending, running, and then one of the last three.
type Status string

// The statuses of a deployment.
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Ended reports whether nothing more will happen.
func (s Status) Ended() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Deployment is the one result of every front door: what was asked for, how far it
// is, and what came of it.
type Deployment struct {
	// ID is a UUID.
	ID        string `json:"id"`
	Namespace string `json:"namespace"`
	App       string `json:"app"`
	AppID     string `json:"app_id"`
	// Environment is "production", "development" or a label of the caller's.
	Environment string `json:"environment"`
	// Revision is 0 until the order was placed.
	Revision uint64 `json:"revision,omitempty"`
	Status   Status `json:"status"`
	// Stage is a finer step: "waiting for a build", "receiving", "building",
	// "sealing", "fetching", "unpacking", "starting", "healthy".
	Stage  string `json:"stage,omitempty"`
	Source Source `json:"source"`
	// ArtifactID is the uploaded artifact, or what the build made; ImageDigest is the
	// plain image's id.
	ArtifactID     string   `json:"artifact_id,omitempty"`
	BuildID        string   `json:"build_id,omitempty"`
	ImageDigest    string   `json:"image_digest,omitempty"`
	ManifestDigest string   `json:"manifest_digest,omitempty"`
	ProcessType    string   `json:"process_type,omitempty"`
	Entry          Entry    `json:"entry"`
	Results        []Result `json:"results"`
	// URL is the app's, PreviewURL leads to this revision alone.
	URL        string   `json:"url,omitempty"`
	PreviewURL string   `json:"preview_url,omitempty"`
	Warnings   []string `json:"warnings"`
	// Labels are the caller's.
	Labels map[string]string `json:"labels,omitempty"`
	// Proof is where users get evidence for the app.
	Proof string `json:"attestation_url,omitempty"`
	// Failure is set where Status is failed.
	Failure *Failure `json:"error,omitempty"`
	PodID   string   `json:"pod_id,omitempty"`
	// Group is the deployment that this one is a part of.
	Group     string    `json:"group_id,omitempty"`
	CreatedBy string    `json:"created_by"`
	Created   time.Time `json:"created_at"`
	Updated   time.Time `json:"updated_at"`
	// Rollback is the revision that was brought back, Promoted the deployment that
	// was promoted.
	Rollback uint64 `json:"rollback_of,omitempty"`
	Promoted string `json:"promoted_from,omitempty"`
}

// Source is where a deployment came from.
type Source struct {
	// Type is "upload", "artifact", "image" or "git"; only this provider sets git.
	Type string `json:"type"`
	// Digest is that of the uploaded tree or artifact, "sha256:HEX".
	Digest string `json:"content_digest,omitempty"`
	// Image is the reference that was asked for.
	Image string `json:"image,omitempty"`
	// ClaimedCommit is what the caller says it is. Nobody has looked.
	ClaimedCommit string `json:"claimed_commit_sha,omitempty"`
	// What follows is of git: this provider fetched and checked it.
	Repository  string `json:"repository,omitempty"`
	Ref         string `json:"ref,omitempty"`
	Branch      string `json:"branch,omitempty"`
	Path        string `json:"path,omitempty"`
	Commit      string `json:"commit_sha,omitempty"`
	Tree        string `json:"tree_sha,omitempty"`
	AuthorName  string `json:"commit_author_name,omitempty"`
	AuthorEmail string `json:"commit_author_email,omitempty"`
	Signer      string `json:"signer,omitempty"`
	Method      string `json:"method,omitempty"`
}

// Entry is how the app is run, and why so.
type Entry struct {
	Argv   []string `json:"argv,omitempty"`
	Reason []string `json:"reason,omitempty"`
}

// Result is what became of one app in a deployment.
type Result struct {
	// Name is the app's; of several apps "NAME/ENVIRONMENT".
	Name string `json:"name"`
	// Operation is "create", "update", "delete" or "noop"; Status "pending", "success",
	// "failed" or "skipped".
	Operation string `json:"operation"`
	Status    string `json:"status"`
	Message   string `json:"message,omitempty"`
	// DeploymentID and URL are those of a part of a group.
	DeploymentID string `json:"deployment_id,omitempty"`
	URL          string `json:"url,omitempty"`
}

// Failure is why a deployment failed.
type Failure struct {
	// Code is the reason of the error, such as "app.exited".
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
	// Faults are what was wrong with what was deployed, at most 16.
	Faults []Fault `json:"errors,omitempty"`
	// Log is the app's last lines.
	Log []string `json:"logs_tail,omitempty"`
	// Class is that of the error.
	Class status.Code `json:"class"`
}

// Fault is one thing that was wrong: where, what it was, and what is wanted.
type Fault struct {
	Field string `json:"field"`
	Got   string `json:"got,omitempty"`
	Want  string `json:"want,omitempty"`
}

// Event is one thing that happened to a deployment.
type Event struct {
	// Seq grows by one from 1.
	Seq uint64 `json:"seq"`
	// Kind is "status", "progress", "log" or "result"; the last one is a result.
	Kind string    `json:"kind"`
	At   time.Time `json:"at"`
	// Text is a line for people.
	Text string `json:"text,omitempty"`
	// Done and Total are bytes of a progress.
	Done  uint64 `json:"done,omitempty"`
	Total uint64 `json:"total,omitempty"`
	// Deployment is set in status and result events.
	Deployment *Deployment `json:"deployment,omitempty"`
}

// App is a name in a namespace.
type App struct {
	// ID is a UUID.
	ID          string            `json:"id"`
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	Subdomain   string            `json:"subdomain"`
	Description string            `json:"description"`
	Labels      map[string]string `json:"labels"`
	// Env is merged under each deployment's own. Its values are the app's secrets.
	Env map[string]string `json:"env,omitempty"`
	// Source is where it is built from; nil is what its namespace says.
	Source *AppSource `json:"source,omitempty"`
	// Environments always has "production" and "development".
	Environments []string `json:"environments"`
	// Domains are host names of the caller's own that lead to the app.
	Domains []Domain  `json:"domains,omitempty"`
	Created time.Time `json:"created_at"`
	Updated time.Time `json:"updated_at"`
	// Version grows with each change; the entity tag is made of it.
	Version uint64 `json:"version"`
}
