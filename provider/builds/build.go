package builds

import (
	"time"

	"apocryph/manifest"
)

// Status is where a build is: pending, running, and then one of the last two.
type Status string

// The statuses of a build. A cancelled one has failed, with the error "cancelled".
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
)

// Build is one attempt to make an image of a source.
type Build struct {
	// ID is a UUID.
	ID           string `json:"id"`
	Namespace    string `json:"namespace"`
	AppID        string `json:"app_id,omitempty"`
	DeploymentID string `json:"deployment_id,omitempty"`
	Status       Status `json:"status"`
	// Progress goes from 0 to 100, never back; 100 is the end alone.
	Progress int `json:"progress"`
	// Stage is "queued", "fetching", "detecting", "compiling", "sealing" or "done".
	Stage string `json:"stage"`
	// ArtifactID is what was made, once it was.
	ArtifactID string `json:"artifact_id,omitempty"`
	// Error says why it failed, Code is the reason for programs.
	Error string `json:"error,omitempty"`
	Code  string `json:"code,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// Runtime, Argv, Evidence and Warnings are those of the plan.
	Runtime  string   `json:"runtime,omitempty"`
	Argv     []string `json:"argv,omitempty"`
	Evidence []string `json:"evidence,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	// Features are what the caller asked for.
	Features []string `json:"features,omitempty"`
	Source   Source   `json:"source"`
	ImageID  string   `json:"image_id,omitempty"`
	// Sealed is the digest of the encrypted image's manifest, of which bill and
	// statement are referrers; ImageCID is the root of its directory on IPFS.
	Sealed   string `json:"encrypted_digest,omitempty"`
	ImageCID string `json:"image_cid,omitempty"`
	// Provenance and SBOM are digests, "sha256:HEX": of the statement, and of the bill.
	Provenance string `json:"provenance_digest,omitempty"`
	SBOM       string `json:"sbom_digest,omitempty"`
	// ProvenanceCID and SBOMCID are where they are on IPFS by themselves: the envelope as it
	// was signed when the build ended, and the bill.
	ProvenanceCID string     `json:"provenance_cid,omitempty"`
	SBOMCID       string     `json:"sbom_cid,omitempty"`
	CreatedBy     string     `json:"created_by"`
	Created       time.Time  `json:"created_at"`
	Started       *time.Time `json:"started_at,omitempty"`
	Finished      *time.Time `json:"finished_at,omitempty"`
}

// Source is where a build's files came from. A caller's word is in ClaimedCommit alone.
type Source struct {
	// Type is "upload" or "git".
	Type   string `json:"type"`
	Digest string `json:"content_digest,omitempty"`
	// ClaimedCommit is what the caller says. Nobody has looked.
	ClaimedCommit string `json:"claimed_commit_sha,omitempty"`
	// The rest is of git: what this provider fetched and checked.
	Repository  string `json:"repository,omitempty"`
	Ref         string `json:"ref,omitempty"`
	Branch      string `json:"branch,omitempty"`
	Path        string `json:"path,omitempty"`
	Commit      string `json:"commit_sha,omitempty"`
	Tree        string `json:"tree_sha,omitempty"`
	AuthorName  string `json:"commit_author_name,omitempty"`
	AuthorEmail string `json:"commit_author_email,omitempty"`
	// Signer is the fingerprint of the key that signed the commit; Method how the
	// files came.
	Signer string `json:"signer,omitempty"`
	Method string `json:"method,omitempty"`
}

// Image is what a build made, sealed as a publisher would.
type Image struct {
	manifest.Image
	// Key opens it, PKCS #8 DER.
	Key []byte `json:"key"`
	// Build is the id of the build, Provenance its statement, without a signature:
	// keys live for one start of the provider.
	Build      string `json:"build"`
	Provenance []byte `json:"provenance"`
	// ProvenanceCID and SBOMCID are those of a [Build].
	ProvenanceCID string `json:"provenance_cid,omitempty"`
	SBOMCID       string `json:"sbom_cid,omitempty"`
}
