#!/usr/bin/env bash
# Boots the machine in DIR (esp, disk, firmware, tpm) and lets its guest run
# SCENARIO, a file of guest/. More arguments are qemu's. The guest's console is
# standard output. Exits 0 only if the guest says that it passed.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 DIR SCENARIO [QEMU_ARGUMENT...]" >&2; exit 2; }
dir=$1 scenario=$2
shift 2
# An emulated boot with its deploys takes one to two minutes on a free processor.
limit=${BOOT_TIMEOUT:-1200}
# A machine that is itself virtual may have a /dev/kvm that does not work.
accel=${BOOT_ACCEL:-tcg}

firmware=$dir/firmware/usr/share/OVMF
# The variables are those of a new machine at each boot, and so is register 7.
cp "$firmware/OVMF_VARS_4M.fd" "$dir/vars"
# The TPM ends with the machine; both end with this script.
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
trap 'exit 130' INT TERM
swtpm socket --tpm2 --tpmstate "dir=$dir/tpm/state" --ctrl "type=unixio,path=$dir/tpm/ctrl" --terminate >"$dir/tpm/log" 2>&1 &
tpm=$!
until [ -S "$dir/tpm/ctrl" ] || ! kill -0 $tpm 2>/dev/null; do read -rt 0.1 <> <(:) || true; done

machine=(
  -machine q35 -accel "$accel" -cpu max -smp 1 -m 2048 -nodefaults -no-reboot -display none -serial stdio
  -drive "if=pflash,format=raw,unit=0,readonly=on,file=$firmware/OVMF_CODE_4M.fd"
  -drive "if=pflash,format=raw,unit=1,file=$dir/vars"
  # What the guest is to do is told in a way that is not measured.
  -fw_cfg "name=opt/apocryph/scenario,string=$scenario"
  # The first disk has the data, the second is a directory of this machine with
  # the program that the firmware starts.
  -drive "if=none,id=data,file=$dir/disk,format=raw,cache=unsafe" -device virtio-blk-pci,drive=data
  -drive "if=none,id=esp,file=fat:$dir/esp,format=raw,read-only=on" -device virtio-blk-pci,drive=esp,bootindex=0
  # The guest's network has nobody else in it. The card brings no boot program.
  -netdev user,id=net,restrict=on -device virtio-net-pci,netdev=net,romfile=
  -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng
  -chardev "socket,id=tpm,path=$dir/tpm/ctrl" -tpmdev emulator,id=tpm,chardev=tpm -device tpm-crb,tpmdev=tpm
)
# The firmware clears a terminal's screen before the first line. In the background,
# for a shell that waits hears signals at once.
timeout --kill-after=10 "$limit" qemu-system-x86_64 "${machine[@]}" "$@" </dev/null 2>"$dir/qemu.log" |
  sed -u 's/\r//g; s/\x1b\[[0-9;=]*[A-Za-z]//g' | tee "$dir/console" &
wait $! || true
grep -qx 'BOOT TEST PASSED' "$dir/console" && exit 0
cat "$dir/qemu.log" >&2
grep -q '^BOOT TEST FAILED' "$dir/console" || echo "BOOT TEST FAILED: the guest ended, or was ended after $limit s, without a result" >&2
exit 1
