// Package containerd runs instances as Linux containers, on a containerd that
// is embedded in this process and a runc that is embedded in this program, so
// that a provider needs nothing installed.
//
// [Runtime.Run] starts containerd's server with hand-picked plugins and talks
// to it in memory. Its shims, which stay with the containers, and the writers
// of their logs, are a small program of their own, which is embedded too
// ([attendant]). Containers therefore outlive the daemon and
// are found again by the next one. A service manager has to leave them alone
// too (systemd: KillMode=process, Delegate=yes).
//
// Images never enter containerd's content store. A layer is read while it
// arrives, decrypted, decompressed and unpacked in one stream straight into an
// overlayfs snapshot, whose key is the chain id of the OCI image specification;
// the plain digest is compared at its end. Each publisher has a containerd
// namespace, and each instance has to show that its key opens its image, even
// where all layers are unpacked already.
//
// All containers of an instance share a network namespace and the user
// namespace that owns it. A pod has one range of 65536 host user ids, recorded
// as long as its volumes live, and its root file systems and volumes are owned
// by that range. Root of a container has ten capabilities in that namespace and
// is nobody on the host; seccomp's default profile, no-new-privileges, limits of
// processor, memory without swap, and processes apply to all. Cgroups v1 and v2
// both work.
//
// A bridge per provider gives every instance an address that only this host can
// call, a port that is isolated from its neighbours, and masqueraded egress. The
// packet filter (nftables, one table per provider, replaced as a whole and put
// right every half minute) lets pods reach DNS and the internet: not each other,
// not this host, not private, link-local or reserved networks. There is no IPv6.
//
// Every instance has a record, written before the first thing of it is made and
// deleted after the last: a crash at any instruction leaves a record whose
// instance is removed at the next start. How a container ended is written by its
// shim, because the daemon may not be there.
//
// What is on disk below Config.DataDir is plaintext: unpacked layers, writable
// layers, volumes, logs, and in containerd's database the environment and
// arguments of containers. Secret volumes and keys are in memory only.
package containerd
