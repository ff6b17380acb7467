// Package tsm makes evidence inside a confidential virtual machine: SEV-SNP
// attestation reports and TDX quotes.
//
// Linux hands both out through one interface, configfs-tsm
// (Documentation/ABI/testing/configfs-tsm-report): a directory is made below
// tsm/report, the 64 bytes of report data are written to its inblob, and the
// report is read from its outblob. A counter of writes tells when somebody else
// wrote in between; [Device.Attest] then starts over. Kernels before 6.7 have
// SEV-SNP's own device file instead ([Guest]), which is asked where the
// directory is missing. [Probe] says which of all that a machine has.
//
// A report is worth what its endorsements say: the chip's certificate for
// SEV-SNP, signed statements about the platform for TDX. The host may give an
// SEV-SNP guest its certificates along with the report, in a table that is a
// stranger's bytes and parsed as such. What is missing is an [Endorser]'s to
// add; verifiers fetch nothing.
//
// The platform makes one report at a time and may take seconds, so calls wait
// for each other in a queue of bounded length. A call whose context ends
// returns at once; the kernel, which cannot be interrupted, goes on, and
// [Device.Close] waits for it.
//
// [Device.DataKey] is the key for data at rest. On SEV-SNP it is random and
// wrapped by a key that the processor derives for guests of the same launch
// measurement and guest policy (MSG_KEY_REQ, 56860, 7.2): other software gets
// another one. The TCB version is left out, so that new firmware does not lock
// the data away. TDX derives no keys: there the data key is new at each boot
// and lies in memory only.
package tsm
