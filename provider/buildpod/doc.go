// Package buildpod runs the commands of builds in pods of their own: it is the
// [build.Runner] of a provider.
//
// A job is an ordinary instance on the provider's own [Runtime]. It therefore
// has what every pod has: a user namespace whose root is nobody on this machine,
// seccomp, a cgroup with limits, its own network namespace and a log. Its tenant
// is the namespace that builds, so that neither unpacked layers, nor ranges of
// user ids, nor caches are shared between namespaces. It gets no secret: its
// environment is that of its image and of the job.
//
// The life of a job: [Pods.Run] takes the base image, which is sealed once and
// pinned as long as it is used ([Importer]); creates the instance with a volume
// that has the job's quota; copies the source there, with fixed times and owned
// by the root of the container; starts it and waits for its end, its time or its
// memory; copies what is in /out, read as what a stranger wrote; and removes
// instance and volume. Whatever happens, Run removes what it made before it
// returns. What a kill leaves is recognised by its name and removed by
// [Pods.Sweep], which also is why the provider's own reconciliation leaves
// instances of builds alone ([provider.InstanceID.Build]).
//
// Without [build.Job.Egress] the network namespace has a loopback alone, and no
// resolver. With it a job reaches what pods reach: names and the internet, not
// this machine, other pods, private or link-local networks.
//
// Caches are volumes of a namespace, one per name, that outlive jobs. Each has a
// size; a namespace has a cap, and so have all together. The least recently used
// go first, and one that is full goes at once. A cache holds what earlier jobs
// of the same namespace wrote, and must not be believed more than those.
//
// An unpacked base is kept for the next job of the same namespace by an instance
// that is never started, for the most recently used bases only.
package buildpod
