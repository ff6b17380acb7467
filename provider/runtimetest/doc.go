// Package runtimetest holds the contract of container runtimes as a test
// suite, and a fake runtime that keeps it.
//
// [Test] runs the suite against anything that is a [Runtime]: what a provider's
// state machine may rely on, told by what containers see and by what the
// interfaces return. The suite's containers run one program, the probe, whose
// arguments are a small script (package script), so that the [Fake] can keep
// the whole contract in memory: it decrypts and checks images as a real
// runtime does, has volumes, secrets, logs, exits and host names, and executes
// the probe's script in a goroutine. Limits, isolation and networks cannot be
// faked; they are tested where the real runtime is.
//
// [Build] makes encrypted OCI images in memory. Their first layer is the probe,
// compiled once per process.
package runtimetest
