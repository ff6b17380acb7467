// Package pull deploys what a namespace's repository says, and nothing that a
// caller says (pull model, GitOps).
//
// The operator of a namespace gives it a [Config]: repository, branch, path. A
// caller of [Puller.Sync] names a commit or a branch, at most. The provider
// itself finds the commit, once; refuses one that is not reachable from the configured
// branch, as a commit of a fork that shares objects is; fetches the files; and
// reads every manifest (*.yaml) below the path. All of them are one change: apps
// are created, updated, left alone where nothing changed, and removed where their
// file is gone. One file that cannot be read, and nothing is applied; all images
// are built before the first app is touched.
//
// What was applied is remembered with the commit, so that a later sync can tell
// what changed, and, where [Config.AllowRollback] is off, refuse to go back. With
// [Config.GitOnly] a namespace takes no deploy but a sync. [Verify] demands
// signatures of commits: of the head, or of each since the last sync.
//
// Webhooks and [Config.Auto] sync to the branch's head only, whatever the delivery
// says: it is a hint that something changed, and authenticated so that nobody else
// can make the provider work. A hint that was acknowledged is durable.
package pull
