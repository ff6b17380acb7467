// Package cli is the edge between a process and the programs: flags, the
// environment and the configuration file, signals, the logger, progress, error
// texts and exit codes.
//
// Nothing below it reads a flag or a variable or prints. Results go to standard
// output, everything for people to standard error. [App.Root] gives a program's
// commands what all have in common; [Main] runs them.
//
// A flag has its value from the command line, else from its variable
// ([EnvName]), else from the file that --config names, else by default; see
// [App.Settle]. All faults of a configuration are reported at once, with lines.
//
// An error is printed once, here, as "PROGRAM: error: TEXT" with a "hint: TEXT"
// where something can be done about it, and decides the exit code by its class
// (apocryph/proto/status). With --json standard output has one object a line,
// {"event":…}; the last one is {"event":"result",…} ([App.Result]), with
// "error" and "exit" when the command failed.
//
// The first SIGINT or SIGTERM ends the context that commands run under, the
// second the process. Whatever error a command returns after the first is the
// interruption, for anything may break when its context ends.
//
// Text that a stranger wrote goes through [Clean] or [Harmless] on its way to a
// terminal, and is escaped in JSON: it must not move a cursor.
package cli
