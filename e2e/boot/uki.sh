#!/usr/bin/env bash
# Joins kernel, initramfs and command line with systemd's stub to one program of
# the firmware, a unified kernel image, as the one file of the boot disk ESP_DIR.
# The firmware measures it as a whole into register 4, the stub its parts into 11.
# Qemu's own -kernel will not do: it writes addresses into the kernel, so that
# nobody can tell from the package what is measured.
set -euo pipefail
[ $# -eq 4 ] || { echo "usage: $0 ESP_DIR STUB_DIR VMLINUZ INITRAMFS" >&2; exit 2; }
esp=$1 stub=$2/usr/lib/systemd/boot/efi/linuxx64.efi.stub linux=$3 initrd=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
osrel=$work/osrel cmdline=$work/cmdline
printf 'ID=apocryph-boot-test\n' >"$osrel"
# systemd's convention ends it with a NUL.
printf 'console=ttyS0 panic=-1 loglevel=4\0' >"$cmdline"

# Sections follow the stub's own, each on a page; the kernel comes last, for it
# unpacks itself over what follows.
read -r size at < <(objdump -h "$stub" | awk 'NF == 7 { size = $3; at = $4 } END { print size, at }')
end=$((0x$at + 0x$size))
arguments=()
for part in osrel cmdline initrd linux; do
  file=${!part}
  at=$(((end + 4095) / 4096 * 4096))
  arguments+=(--add-section ".$part=$file" --change-section-vma ".$part=$(printf '0x%x' $at)")
  end=$((at + $(stat -c %s "$file")))
done
mkdir -p "$esp/EFI/BOOT"
objcopy "${arguments[@]}" "$stub" "$esp/EFI/BOOT/BOOTX64.EFI"
