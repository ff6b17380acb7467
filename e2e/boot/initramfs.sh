#!/usr/bin/env bash
# Makes the initramfs FILE: busybox, mkfs.ext4, the modules of kernel.sh, the programs,
# what images.sh wrote, and the scripts of guest/. All of the machine's software is in
# this one file, so that a measured boot covers it.
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: $0 FILE KERNEL_DIR IMAGES_DIR PROGRAM..." >&2; exit 2; }
file=$1 kernel=$2 images=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/{bin,sbin,etc,dev,proc,sys,run,tmp,root,newroot,var/lib,boot-test}
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do
  [ "$applet" = busybox ] || ln -s /bin/busybox "$root/bin/$applet"
done
# The kernel runs /sbin/modprobe for what it misses.
ln -s /bin/busybox "$root/sbin/modprobe"
cp -a "$kernel/modules/lib" "$root/lib"
cp "$@" "$root/bin/"
# Storage is made with it; Debian's is linked to libraries.
mkfs=$(PATH=$PATH:/usr/sbin:/sbin command -v mkfs.ext4)
cp -L "$mkfs" "$root/sbin/mkfs.ext4"
for library in $(ldd "$mkfs" | grep -o '/[^ ]*'); do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
cp -r "$images" "$root/boot-test/images"
cp "$here"/guest/* "$root/boot-test/"
chmod 755 "$root/boot-test/init"
ln -s /boot-test/init "$root/init"

echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
# Qemu's name server; that it answers is not needed.
echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"

# Compressed, for each byte of it is read and measured three times by programs that
# are emulated; lightly, for it is unpacked by one that is, too.
(cd "$root" && find . -print0 | busybox cpio -0 -o -H newc -R 0:0 2>/dev/null) | gzip -1 >"$file"
