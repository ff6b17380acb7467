#!/usr/bin/env bash
# Starts a provider on this machine, deploys the sample app as an encrypted
# image, and exits 0 only if the app answered through the ingress.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
bin=$root/bin
[ "$(id -u)" -eq 0 ] || { echo "the demo's provider runs containers and needs root: sudo make demo" >&2; exit 1; }
dir=$(mktemp -d)
provider_pid=
cleanup() {
  status=$?
  trap - EXIT INT TERM
  if [ -n "$provider_pid" ]; then
    [ $status -eq 0 ] || { echo '--- the provider said:'; tail -n 30 "$dir/provider.log"; }
    kill "$provider_pid" 2>/dev/null && wait "$provider_pid" 2>/dev/null || true
  fi
  rm -rf "$dir"
  exit $status
}
trap cleanup EXIT INT TERM
bold= plain=
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '\n%s\n' "$bold$*$plain"; }
say "1. the sample app becomes an OCI image"
"$bin/publisher" version
go run ./e2e/sample -o "$dir/app/image"
cp e2e/sample/app.yaml "$dir/app/app.yaml"
head -c 32 /dev/urandom | base64 > "$dir/app/token"
# From here on nothing of this machine's user counts.
mkdir "$dir/home"
export HOME=$dir/home
unset XDG_STATE_HOME XDG_CONFIG_HOME "${!APOCRYPH_@}"

say "2. a provider starts (software device: NOT SECURE, for development)"
"$bin/provider" serve --tee soft --storage-size 2Gi --data-dir "$dir/provider" --listen /ip4/127.0.0.1/tcp/0 \
  --ingress 127.0.0.1:0 --ingress-tls 127.0.0.1:0 --api 127.0.0.1:0 --log-format text 2>"$dir/provider.log" &
provider_pid=$!
for _ in $(seq 300); do
  [ -s "$dir/provider/provider.json" ] && break
  kill -0 "$provider_pid" 2>/dev/null || { echo "the provider ended"; exit 1; }
  read -rt 0.1 <> <(:) || true
done
address=$(sed -nE 's/.*"addrs":\["([^"]+)".*/\1/p' "$dir/provider/provider.json")
echo "$address"

say "3. the publisher writes a policy from what the provider shows"
"$bin/publisher" --home "$dir/publisher" policy init --from "$address" -o "$dir/policy.yaml"

say "4. publisher deploy app.yaml"
url=$("$bin/publisher" --home "$dir/publisher" deploy "$dir/app/app.yaml" --provider "$address" --policy "$dir/policy.yaml")
echo "$url"

say "5. any user asks who serves it, and pins the key that the evidence names"
proof=$("$bin/publisher" --home "$dir/user" verify "$url" --policy "$dir/policy.yaml")
echo "$proof"
key=$(sed -nE 's#^tls key +(sha256//.+)$#\1#p' <<<"$proof")

say "6. the app answers"
answer=$(curl -fsS -k --pinnedpubkey "$key" --max-time 10 "$url")
echo "$answer"
curl -fsS -k --pinnedpubkey "$key" --max-time 10 "$url/secret" | grep -qx "sha256:$(sha256sum < "$dir/app/token" | cut -d' ' -f1)" && echo "and has its secret"

say "7. what the provider did, as it was logged before it happened"
"$bin/publisher" --home "$dir/publisher" attest --pod hello --policy "$dir/policy.yaml" --explain

say "8. the same proof with curl, judged without a network"
nonce=$(head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n')
curl -fsS -k --max-time 10 "${url%/}/.well-known/apocryph/attestation?nonce=$nonce" -o "$dir/proof.json"
"$bin/publisher" --home "$dir/user" verify --offline --nonce "$nonce" --policy "$dir/policy.yaml" "$dir/proof.json"

say "9. its logs"
"$bin/publisher" --home "$dir/publisher" logs hello

say "10. clean up"
"$bin/publisher" --home "$dir/publisher" delete hello
[[ $answer == "hello, stranger"* ]]
