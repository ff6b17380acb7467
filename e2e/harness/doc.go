// Package harness drives the real programs as their users do.
//
// A [World] has the two binaries, built once, and a directory of its own. Its
// providers and publishers are processes with empty homes; tests look at exit
// codes, standard output and files, never at memory. When a test ends every pod
// is deleted, every process stopped, and what would have been left behind on
// the machine is a failure.
package harness
