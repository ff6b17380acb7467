// Package measure keeps the pod log of a provider: a write-ahead journal beside
// a register that can only be extended.
//
// Two things must agree that cannot be changed together: a file, which a crash
// may cut short, and a register of a TPM or TDX, which keeps every extension
// until the machine boots. [Log.Append] therefore goes through fixed steps, each
// of which a crash may follow. The opening of the event is made durable first,
// since a record without one says nothing to anybody. Then the record is, then
// the register is extended, then the journal marks that. What the steps promise:
//
//	after the crash    the journal says       the register decides
//	before the record  nothing                the event never was
//	after the record   one without a mark     extended or not; if not, it is now
//	after the mark     all marked             nothing is left to do
//
// So an event is extended exactly once, or was never acknowledged. [Open] does
// the same after a crash as Append after an error of the register, of which
// nobody knows whether it came before the extension or after. Where the register
// cannot be explained by the journal, because somebody else extended it or put
// back an old file, the log is refused until the machine boots: going on would
// only hide it.
//
// Files, in one directory of mode 0700, of one boot each: "journal-BOOT" in the
// form of [podlog.Journal], and "openings-BOOT", which are encrypted, for the disk's
// owner must not learn what tenants do. A new boot removes those of the last. Both keys are derived from [Config.Key].
// Openings that were damaged are skipped: their owner misses them, everybody
// else's log goes on.
//
// Without a register the journal alone is the log, and its head is worth what
// the software that claims it is worth.
package measure
