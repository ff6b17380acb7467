// Package lifecycle runs the components of a node on top of each other.
//
// A [Stack] starts each component when those below it are ready and stops them
// in the opposite order, each within a time of its own; one that hangs is
// named. It is what both assemblies, the provider's and the publisher's, are
// built with. A component is a function that blocks until its context ends and
// has joined everything it started by then.
package lifecycle
