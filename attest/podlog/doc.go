// Package podlog is the measured, append-only event log of one provider and one
// boot: which software began, what was configured, which pods ran.
//
// A platform configuration register (PCR) of a TPM, or a run-time measurement
// register (RTMR) of TDX, cannot be written, only extended: its new value is the
// hash of the old one and a digest. So a list of digests that replays to the
// register's attested value is the whole list, in order, and nothing can be
// taken out of it later. The provider extends one digest for each [Record]; a
// verifier that has the records computes a [Head] from them and compares
// ([CheckReplay]). A head has the value of both banks that registers use, so one
// log replays to PCR 14 of either bank and to RTMR 3.
//
// The log is shared by tenants who must not learn of each other. A record
// therefore has only the commitment to what happened: the hash of a random salt
// and the payload. What it leaves to see is the kind and the order of events, so
// that everybody can check the boundary between setting up and serving
// ([Boundary]). The [Opening], salt and payload, goes to the tenant whom the
// event is about; [Open] checks that it is the one that was measured. Equal
// events have different commitments, and a salt of 32 bytes leaves no payload to
// guess. How often each kind of event happens is not hidden.
//
// What a log proves is bounded by what writes it. It shows everything that the
// measured software logged. That this software logs what it does follows from
// its own measurement, which is in other registers or in the launch digest: look
// at those first. And a verifier has to know what the register was when the log
// began ([Begin]): zeros, or what the boot log makes of it, because shim
// extends PCR 14 too.
//
// A crash must neither lose an event that was extended nor extend one twice: the
// register could never be explained again. [Journal] is the format of a
// write-ahead file. A record is durable before it is extended, and marked after;
// at most one is ever without a mark. After a crash the register itself tells
// whether that one got there ([Journal.Reconcile]).
//
// # Encoding
//
// All integers are big-endian. len is a u32.
//
//	record     = u64 seq || len || type || commitment (32)
//	commitment = SHA-256(salt (32) || payload)
//	digest     = H("apocryph/podlog/0.0.1" || 0x00 || record)
//	head'      = H(head || digest)
//	list       = len (number of records) || record ...
//	opening    = salt (32) || len || payload
//	payload    = u8 1 || u8 number of the type || the event's fields in order
//
// H is the hash of the bank, SHA-256 or SHA-384. Sequence numbers begin at 0.
// The fields of a payload are those of the event's Go type, in its order:
//
//	text, bytes   len || the bytes; text is printable ASCII
//	digest        32 bytes
//	number        u64
//	time          u64, Unix milliseconds
//	flag          u8, 0 or 1
//	list of text  len (number of texts) || text ...
//
// There is no padding, nothing is optional and nothing may follow, so a value
// has one encoding only. The journal's encoding is described at [Journal].
//
// # Reasons
//
// [CheckCode] gives the code of a failed check: ATT-100 for "podlog.replay" and
// "podlog.gap", ATT-101 "podlog.init", ATT-102 "podlog.boundary", ATT-103
// "podlog.duplicate", ATT-104 "podlog.missing", ATT-011 for what is not in form.
// [Appraise] holds a whole log against evidence and against what was deployed:
// ATT-110 is another manifest, ATT-111 another image.
package podlog
