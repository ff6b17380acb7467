#!/usr/bin/env bash
# Manufactures a software TPM 2.0 in DIR: endorsement keys with certificates of a
# new authority, whose root is DIR/root.pem. machine.sh plugs it in.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1/ca" "$1/state"
dir=$(cd "$1" && pwd)
cat >"$dir/ca.conf" <<END
statedir = $dir/ca
signingkey = $dir/ca/signkey.pem
issuercert = $dir/ca/issuercert.pem
certserial = $dir/ca/certserial
END
printf -- '--platform-manufacturer test\n--platform-version 1\n--platform-model test\n' >"$dir/options"
cat >"$dir/setup.conf" <<END
create_certs_tool = $(command -v swtpm_localca)
create_certs_tool_config = $dir/ca.conf
create_certs_tool_options = $dir/options
END
swtpm_setup --tpm2 --tpm-state "$dir/state" --config "$dir/setup.conf" --create-ek-cert --lock-nvram \
  --pcr-banks sha256,sha384 --overwrite >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
cp "$dir/ca/swtpm-localca-rootca-cert.pem" "$dir/root.pem"
