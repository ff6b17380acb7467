# What the TPM and the firmware say of the boot.

log=/sys/kernel/security/tpm0/binary_bios_measurements
registers=/sys/class/tpm/tpm0/pcr-sha256
evidence=/var/lib/evidence

# pcrs prints the registers of the SHA-256 bank that a boot fills.
pcrs() { for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo "$n $(cat $registers/$n)"; done; }

boot_measured() {
  [ -c /dev/tpmrm0 ] || fail 'there is no TPM'
  pcrs
  ok "the event log has $(wc -c <$log) bytes"
  # 4 is the whole of what the firmware started, 11 its parts as the stub saw them;
  # the kernel measures the initramfs into 9 once more.
  for n in 0 2 4 7 9 11; do
    case $(cat $registers/$n) in
      *[!0]*) ;;
      *) fail "nothing was measured into register $n" ;;
    esac
  done
}

save_evidence() {
  mkdir -p $evidence
  cat $log >$evidence/eventlog.bin
  pcrs >$evidence/pcrs.txt
}

same_registers() {
  pcrs >/tmp/pcrs
  diff $evidence/pcrs.txt /tmp/pcrs
}
