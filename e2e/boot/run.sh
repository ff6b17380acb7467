#!/usr/bin/env bash
# Boots a virtual machine with Debian's kernel, cgroup v2, UEFI firmware and a TPM
# that measures the boot, runs the provider in it, and deploys to it. This machine
# may have none of that. Exits 0 only if the guest says that all passed, and
# leaves nothing behind. Needs qemu and swtpm; emulates unless BOOT_ACCEL=kvm.
# With BOOT_SAVE=DIR, what the TPM measured is written there.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 PROVIDER PUBLISHER (the programs that make build writes)" >&2; exit 2; }
provider=$(realpath "$1") publisher=$(realpath "$2")
save=${BOOT_SAVE:+$(realpath "$BOOT_SAVE")}
cd "$(dirname "$0")/../.."
boot=e2e/boot
dir=$(mktemp -d)
child=
cleanup() {
  status=$?
  trap - EXIT INT TERM
  [ -z "$child" ] || { kill "$child" 2>/dev/null && wait "$child" || true; }
  rm -rf "$dir"
  exit $status
}
trap cleanup EXIT INT TERM
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# machine runs in the background, for a shell that waits hears signals at once.
machine() {
  "$boot/machine.sh" "$dir" "$@" &
  child=$!
  wait "$child" || exit 1
  child=
}
new_disk() { rm -f "$dir/disk" && truncate -s 4G "$dir/disk" && mkfs.ext4 -q "$dir/disk"; }

say "1. kernel, firmware, TPM, images, initramfs"
"$boot/apt.sh" "$dir/firmware" ovmf
"$boot/apt.sh" "$dir/stub" systemd-boot-efi
"$boot/kernel.sh" "$dir/kernel"
"$boot/tpm.sh" "$dir/tpm"
"$boot/images.sh" "$dir/images"
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$dir/probe" ./provider/runtimetest/probe
"$boot/initramfs.sh" "$dir/initramfs" "$dir/kernel" "$dir/images" "$provider" "$publisher" "$dir/probe"
"$boot/uki.sh" "$dir/esp" "$dir/stub" "$dir/kernel/vmlinuz" "$dir/initramfs"

say "2. cgroup v2"
new_disk
machine cgroups

say "3. a measured boot: deploy with the TPM"
new_disk
machine measured
if [ -n "$save" ]; then
  for f in eventlog.bin pcrs.txt policy.yaml verdict.json; do debugfs -R "dump /evidence/$f $save/$f" "$dir/disk" 2>/dev/null; done
  [ -s "$save/verdict.json" ] || { echo "the evidence was not saved" >&2; exit 1; }
  cp "$dir/tpm/root.pem" "$save/ek-root.pem"
fi

say "4. the same boot again: the pod comes back"
machine again

say "5. other software boots: what was sealed stays closed, the policy denies"
# An initramfs may be several archives, of which the last adds one file.
echo 'something else' >"$dir/other"
(cd "$dir" && echo other | busybox cpio -o -H newc 2>/dev/null | gzip) >>"$dir/initramfs"
"$boot/uki.sh" "$dir/esp" "$dir/stub" "$dir/kernel/vmlinuz" "$dir/initramfs"
machine changed
