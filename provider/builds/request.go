package builds

import (
	"fmt"
	"io/fs"
	"strings"
	"time"

	"apocryph/p2p/git"
	"apocryph/p2p/source"
	"apocryph/proto/status"
)

// GitSource is a directory of a commit.
type GitSource struct {
	Want git.Want `json:"want"`
	// Path is what is built, a clean path in the tree; empty for all of it.
	Path string `json:"path,omitempty"`
}

// Request asks for one build, of Tree or of Git.
type Request struct {
	Namespace string
	// By is who asks, for the record.
	By string
	// AppID and DeploymentID are what the build is for; each may be empty.
	AppID, DeploymentID string
	// Tree is taken over: it is closed in any case.
	Tree *source.Tree
	Git  *GitSource
	// Lent opens the repository of Git for this build alone. It is kept in memory
	// until the files are there and is never stored: a build that a restart finds
	// without it fails with unavailable "build.credential_lost".
	Lent *git.Credential
	// Runtime and Entry are found out where they are empty.
	Runtime, Entry string
	// Args follow the command.
	Args []string
	// Features are kept and shown.
	Features []string
	Port     uint16
	// ClaimedCommit is what an uploader says.
	ClaimedCommit string
	// RequestID makes a repeat harmless; zero for none.
	RequestID [16]byte
}

const (
	// maxTexts and maxText bound each list of a request, and each text: all of it
	// is in memory and in the record.
	maxTexts = 64
	maxText  = 1024
	// maxFeature is for a feature's name.
	maxFeature = 128
)

func (r *Request) check() error {
	var faults []status.Fault
	fault := func(field, got, want string) {
		faults = append(faults, status.Fault{Field: field, Got: got, Want: want})
	}
	if (r.Tree == nil) == (r.Git == nil) {
		fault("/project", "files and a repository: not exactly one", "one of them")
	}
	if r.Lent != nil && (r.Git == nil || r.Git.Want.Credential != nil) {
		fault("/credential", "one without a repository, or a second one", "one for the repository")
	}
	if r.Namespace == "" || r.Namespace == everywhere {
		fault("/namespace", fmt.Sprintf("%.80q", r.Namespace), "a namespace")
	}
	if r.Entry != "" && (!fs.ValidPath(r.Entry) || len(r.Entry) > maxText) {
		fault("/entry", fmt.Sprintf("%.80q", r.Entry), "a path in the source, without a leading slash, . and ..")
	}
	if len(r.Runtime) > maxFeature {
		fault("/runtime", fmt.Sprintf("%.40q", r.Runtime), "the name of a runtime")
	}
	if r.Git != nil && r.Git.Path != "" && (!fs.ValidPath(r.Git.Path) || len(r.Git.Path) > maxText) {
		fault("/path", fmt.Sprintf("%.80q", r.Git.Path), "a directory in the repository, without a leading slash, . and ..")
	}
	texts := func(field string, list []string, most int) {
		if len(list) > maxTexts {
			fault(field, fmt.Sprint(len(list)), fmt.Sprintf("at most %d", maxTexts))
			return
		}
		for i, s := range list {
			if len(s) > most || strings.ContainsRune(s, 0) {
				fault(fmt.Sprintf("%s/%d", field, i), fmt.Sprintf("%d bytes", len(s)), fmt.Sprintf("at most %d, without NUL", most))
			}
		}
	}
	texts("/args", r.Args, maxText)
	texts("/features", r.Features, maxFeature)
	if len(faults) > 0 {
		return status.Invalid("build.invalid", "the build", faults)
	}
	return nil
}

// asked is the part of a request that is kept until the build has ended.
type asked struct {
	Git     *GitSource `json:"git,omitempty"`
	Runtime string     `json:"runtime,omitempty"`
	Entry   string     `json:"entry,omitempty"`
	Args    []string   `json:"args,omitempty"`
	Port    uint16     `json:"port,omitempty"`
	// Lent says that the job has a credential which is not stored.
	Lent bool `json:"lent,omitempty"`
}

const (
	// maxQueued bounds the builds that wait, maxQueuedPerNamespace those of one
	// namespace: each may have 2 GiB of files on the disk.
	maxQueued             = 64
	maxQueuedPerNamespace = 8
	retryLater            = 30 * time.Second
	// keptBuilds are remembered of an app; those of no app are counted by namespace.
	keptBuilds = 50
	// keptPerNamespace bounds all of them: an app is deleted and made again at no cost,
	// and its builds, with a log of 1 MiB each, are not deleted with it.
	keptPerNamespace = 512
	// buildTime bounds one attempt, against a build that never ends.
	buildTime = 30 * time.Minute
	// attempts is how often a build is begun: twice, since what ended the process
	// below it may have been the build.
	attempts = 2
)

// everywhere is the operator's view of all namespaces.
const everywhere = "*"
