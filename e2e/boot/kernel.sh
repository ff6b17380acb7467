#!/usr/bin/env bash
# Puts Debian's kernel for virtual machines into DIR: DIR/vmlinuz, and the modules
# that a provider may need, with their dependencies, into DIR/modules.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1
here=$(cd "$(dirname "$0")" && pwd)

# The cloud kernel has the TPM's driver and ext4 built in, and virtio, overlayfs
# and nftables as modules, like the kernel of a rented machine.
package=$("$here/apt.sh" "$dir/all" linux-image-cloud-amd64)
echo "$package"
version=${package#linux-image-}
modules=lib/modules/$version
from=$dir/all/$modules
[ -d "$from" ] || from=$dir/all/usr/$modules
mkdir -p "$dir/modules/$modules/kernel"
mv "$dir/all/boot/vmlinuz-$version" "$dir/vmlinuz"
cp "$from"/modules.{builtin,order} "$dir/modules/$modules/"

# Directories instead of single modules: what the packet filter loads is decided
# by its rules, through modules.alias, as on a machine that is installed.
# So are the ciphers that encrypted storage asks for.
for part in net/netfilter net/ipv4/netfilter net/ipv6/netfilter net/bridge net/802 net/llc net/core lib fs/overlayfs \
  fs/ext4 fs/jbd2 fs/mbcache crypto arch/x86/crypto arch/x86/lib/crypto drivers/block/loop \
  drivers/virtio drivers/block/virtio_blk drivers/net/virtio_net drivers/net/net_failover drivers/net/veth \
  drivers/char/hw_random/virtio-rng drivers/firmware/qemu_fw_cfg; do
  # Newer kernels compress their modules.
  for source in "$from/kernel/$part" "$from/kernel/$part".ko*; do
    [ -e "$source" ] || continue
    (cd "$from/kernel" && tar -c "${source#"$from/kernel/"}") | tar -x -C "$dir/modules/$modules/kernel"
  done
done
busybox depmod -b "$dir/modules" "$version"
rm -rf "$dir/all"
