// Package cli is the edge between a process and the programs: flags, the
// environment and the configuration file, signals, the logger, progress, error
// texts and exit codes.
//
// Nothing below it reads a flag or a variable or prints. Results go to standard
// output, everything for people to standard error. An error is printed once,
// here, as "PROGRAM: error: TEXT", with a "hint: TEXT" where something can be
// done about it, and decides the exit code, see apocryph/proto/status.
package cli
