// Package attendant is the two processes that stay with a container when the
// provider is gone: its shim, and the writer of its log.
//
// A shim (containerd, core/runtime/v2/README.md) starts the container by runc,
// is the parent that reaps it, and answers containerd over a socket. This one
// also writes down how the container ended ([Exit]), because the provider may
// not be there. The log writer reads the container's output from two pipes and
// writes lines ([Entry]) to files that rotate ([Log]).
//
// Both run for as long as their container, one pair each, so their size and the
// time that they take to start are every pod's. The program apocryph-attendant
// has this package alone and is embedded in the provider. A provider that was
// built without it starts itself under their names instead; [Run] is what makes
// that work.
package attendant
