package deploy

import (
	"apocryph/manifest"
	"apocryph/p2p/source"
	"apocryph/provider/builds"
)

// Request asks for one deployment. Exactly one of Tree, Git, ArtifactID, Image and
// AwaitBuild says what is to run.
type Request struct {
	Namespace string
	// App is the app's name; it is created where it does not exist.
	App         string
	Environment string
	// By is who asks, for the record.
	By string
	// Runtime is one of the builder's, and empty for an image that is referenced. For
	// Git, and for a Tree, empty is found out; [Built] are built from source.
	Runtime string
	// Manifest has one container, whose image is filled in here. Its name is the
	// app's.
	Manifest *manifest.Manifest
	Entry    string
	// Tree is taken over: it is closed when the deployment has it.
	Tree *source.Tree
	// Git is a commit, that is fetched and built here.
	Git *builds.GitSource
	// AwaitBuild waits for a build that somebody submits for this deployment.
	AwaitBuild bool
	// ArtifactID is an artifact of the namespace.
	ArtifactID string
	// Image is a reference, as in a manifest's image field, but for files.
	Image string
	// Secrets holds the files of secret volumes, by volume and file name.
	Secrets map[string]map[string][]byte
	// Expected is the revision that is replaced; 0 is whichever serves.
	Expected uint64
	// RequestID makes a repeat harmless.
	RequestID     [16]byte
	ClaimedCommit string
	// Labels are kept with the deployment, and mean nothing here.
	Labels map[string]string
	// Warnings are what the front door has to say of the request.
	Warnings []string
	// Synced is set by who syncs repositories, and by no front door.
	Synced *Synced
	// DryRun asks for Plan in place of Submit.
	DryRun bool
}

// Plan is the answer to a dry run: nothing was changed.
type Plan struct {
	App, Environment string
	Operation        string   `json:"operation"`
	Changes          []Change `json:"changes"`
	Warnings         []string `json:"warnings"`
	Entry            Entry    `json:"entry"`
	// Asset and PerHour are what it would cost; empty where the provider is free.
	Asset   string `json:"asset,omitempty"`
	PerHour string `json:"per_hour,omitempty"`
}

// Change is one field that a deployment would change; secret values are not shown.
type Change struct {
	Field string `json:"field"`
	// Kind is "added", "removed" or "changed".
	Kind string `json:"kind"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// Page selects a part of a list, in the order of creation.
type Page struct {
	// Number counts from 1; Size 0 is everything.
	Number, Size int
	SortBy       string
	Descending   bool
	// Labels leaves out what has not all of these, with these values.
	Labels map[string]string
}

// labelled reports whether labels have all that a page asks for.
func (p Page) labelled(labels map[string]string) bool {
	for name, want := range p.Labels {
		if have, ok := labels[name]; !ok || have != want {
			return false
		}
	}
	return true
}
