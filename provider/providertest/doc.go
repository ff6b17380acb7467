// Package providertest has what the tests of several packages of a provider would each
// write for themselves: documents in memory, a component that runs as a process does,
// and the usual checks.
//
// A test that is about what survives a crash keeps its [Documents], starts the component
// with [Run], stops it, and starts another one on the same documents: nothing is tidied
// between them. What a test breaks is broken by the test ([Documents.Fail]); there is no
// other behaviour than that of the real ones.
//
// It knows nothing of the packages that use it, so that those below may do so too.
package providertest
