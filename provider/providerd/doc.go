// Package providerd assembles a provider: a [Config] becomes a running node.
//
// It is the only package of the role that knows all the others. A [Node] is a
// stack of components: each is started when those below it are ready, and
// stopped before them, within a time of its own. Programs and tests run the
// same assembly; a test that wants several nodes in one process gives each a
// runtime of its own, for the embedded containerd exists once per process.
package providerd
