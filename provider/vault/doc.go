// Package vault keeps plaintext on a disk whose owner must not read it.
//
// The disk of a confidential machine is outside the TEE. [Open] gives a
// directory, [Vault.Path], for all that a provider can make again from
// ciphertext (root file systems, writable layers, logs, bundles); what reaches
// the disk from below it is encrypted. [Vault.Volume] gives directories that
// outlive the machine, one image file per volume, whose size is the quota.
//
// [FSCrypt] is an ext4 image on a loop device, with an fscrypt version 2
// policy on one directory of it: AES-256-XTS for contents, AES-256-CTS for
// names padded to 32 bytes (Documentation/filesystems/fscrypt.rst). No device
// mapper is needed. The key of private storage is random, given to the kernel
// once and kept nowhere else. It lives as long as the mount: pods, and a
// provider that was killed and started again, find everything as it was,
// without having the key. When the key is gone, after a reboot above all, the
// image is noise; it is never mounted again, but removed and made anew, and so
// it needs no journal. A volume's key is given by the caller, and bound to the
// volume's name.
//
// [TmpFS] is memory with a limit, for small pods. [None] is a plain directory,
// for hosts without fscrypt, and protects nothing: [Vault.Kind] says what it
// is, so that claims can name it and a policy can refuse it. [Probe] tells what
// a machine lacks.
//
// Nothing is recorded about progress. The state is what the kernel says: which
// loop device has the image (device and inode number, so providers do not see
// each other's), whether it is mounted, whether the directory has the policy
// and the key is present. [Open] adopts what is complete and clears all else. A
// loop device is bound with autoclear and so goes with the process that did not
// get as far as mounting it; an image gets its name when it is whole.
//
// What fscrypt does not do: sizes, modes, owners, times, extended attributes
// and the shape of the tree are in clear, and nothing is authenticated. The
// disk's owner can put back an old image of a volume, or damage one; he cannot
// make the kernel write plaintext, because a file without its parent's policy
// is refused and the topmost directory is held open and checked.
package vault
