// Package deploy is the one pipeline behind every front door for people who trust
// their provider: source, build, artifact, revision, route.
//
// An [App] is a name in a [Namespace], the tenant. Each of its environments is
// one pod of the provider core, named after the app ("shop") or after both
// ("shop--development"): the same pods, with the same revisions, rollouts, logs
// and proof as those that publishers deploy. A [Deployment] is one attempt to make
// a revision: it receives what was uploaded, builds a plain image of it, seals
// and keeps that as a publisher would, hands the order to the core and ends when
// the ingress reaches the new revision or the old one goes on.
//
// A deployment is stored before it is acknowledged, and each change of its status
// before anybody hears of it. One that a crash interrupted before its order was
// placed is failed at the next start, with that reason: what was uploaded is
// gone. One whose order was placed takes over what became of the revision.
//
// What a caller claims of a source (a commit, an author) is kept as claimed and
// never shown as proven.
package deploy
