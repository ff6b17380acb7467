// Package publisherd assembles a publisher.
//
// A publisher's node lives for one command: [Node.Do] starts what the command
// needs, runs it, and stops everything again. Commands that only look at files
// start nothing; those that deploy or publish also open the content store, from
// which the provider fetches while the command runs.
package publisherd
