// Package bootlog says what a firmware's boot event log proves about registers
// that a quote has already proven.
//
// Firmware, boot loaders and the kernel's stub extend digests into the PCRs of a
// TPM, or into the RTMRs of a trust domain, and log each one: the TCG PC Client
// Platform Firmware Profile's event log, which Linux shows as
// /sys/kernel/security/tpm0/binary_bios_measurements and which ACPI's CCEL table
// points to. The registers are evidence. The log is a stranger's explanation of
// them, and each step here takes as little of it on trust as it can.
//
// [Parse] decodes the log within fixed bounds. [Log.Replay] and [Log.ReplayRTMR]
// compute each register from the log and demand the very value that was quoted;
// a register without events must be untouched. Only the [Boot] that they return
// has facts, and only of registers that were compared. What a replay proves is a
// sequence of digests. A type is never proven, and data only where it hashes to
// the digest in the bank of the replay: see [Measurement]. And a machine's owner
// can extend a register after boot, with whatever digest he likes. So [Facts]
// are read from where firmware's own part of a register ends, which it marks
// with a separator, and where they could be read in two ways they are missing.
//
// A policy has three ways to use a boot: pin a register's value, which needs no
// log; pin its events with [Boot.Compare], which survives another order; or ask
// for facts, which survives new keys and new firmware. All of them say which
// software was started, on the word of the firmware that started it.
//
// The log is decoded here although go-eventlog has a decoder, since that one
// stops at what looks like padding, takes several digests of one bank, and
// passes a register without events as equal. The tests hold every real log that
// it ships against its reading.
package bootlog
