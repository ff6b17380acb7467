// Package inventory knows what this machine has, what of it is left, and what
// it costs.
//
// [Inspect] reads the machine once: cores under affinity and cgroup quota, CPU
// model, memory under the cgroup limit, disk, GPUs and external addresses. An
// [Inventory] keeps the books on it. A resource is either free, charged to a
// pod, or reserved for a publisher; a pod is charged for its limits, not for
// what it uses, and nothing is ever given twice: there is no overcommitment.
//
// [Inventory.Quote] is admission control without admission. It answers resource
// by resource what was asked for, what is free, and why it falls short; a
// resource that it does not know is unavailable and never ignored. With
// Reserve the resources are held until the offer ends, so that a publisher can
// seal and send an image in the meantime. Reservations are bounded per
// publisher and in all, and expire on their own: they are looked at whenever
// the books are, and need neither a timer nor a place on disk.
//
// [Inventory.Commit] charges a pod, in place of its earlier charge, in one step
// under one lock: it is charged for all or it keeps what it had.
// [Inventory.Restore] charges what already runs, whether it fits or not: after
// a restart on less memory a provider takes no more pods, and kills none.
//
// What is told to anyone ([Inventory.Free]) is rounded down, so that it says
// little about other tenants.
package inventory
