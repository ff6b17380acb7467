#!/usr/bin/env bash
# Starts a provider on this machine that builds from source, deploys a small Flask-like
# app, a Go server and a static site from commits of local repositories, and exits 0
# only if each answered through the ingress.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
bin=$root/bin
[ "$(id -u)" -eq 0 ] || { echo "the demo's provider runs containers and needs root: sudo make demo-source" >&2; exit 1; }
dir=$(mktemp -d)
chmod 711 "$dir"
provider_pid=
call() { curl -fsS --noproxy '*' --unix-socket "$dir/provider/api.sock" "$@"; }
cleanup() {
  status=$?
  trap - EXIT INT TERM
  if [ -n "$provider_pid" ]; then
    for id in $(call http://provider/api/v1/apps | jq -r '.data[].id'); do call -o /dev/null -X DELETE "http://provider/api/v1/apps/$id" || true; done
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

say "1. base images, from Debian's packages"
bases=$bin/bases
provider/build/bases/build.sh "$bases" || {
  # Mirrors keep only the newest of a package.
  bases=$bin/bases-of-today
  BASES_LOCK=$bases.lock provider/build/bases/build.sh --refresh "$bases"
}
head "$bases"/*.digest

say "2. repositories with a commit each"
export HOME=$dir/home GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=Ann GIT_AUTHOR_EMAIL=ann@example.org GIT_COMMITTER_NAME=Ann GIT_COMMITTER_EMAIL=ann@example.org
unset XDG_STATE_HOME XDG_CONFIG_HOME "${!APOCRYPH_@}"
mkdir "$dir/home" "$dir/repos"
for app in flask go site; do
  cp -r "e2e/testdata/sources/$app" "$dir/repos/$app"
  git -C "$dir/repos/$app" init -q -b main
  git -C "$dir/repos/$app" add -A
  git -C "$dir/repos/$app" commit -q -m "the first"
  echo "file://$dir/repos/$app $(git -C "$dir/repos/$app" rev-parse HEAD)"
done

say "3. a provider starts (software device: NOT SECURE, for development)"
"$bin/provider" serve --tee soft --data-dir "$dir/provider" --listen /ip4/127.0.0.1/tcp/0 --no-mdns \
  --ingress 127.0.0.1:0 --api 127.0.0.1:0 --storage-size 2Gi --build-disk 512Mi --build-cache 256Mi --bases "$bases" --git-allow-file "$dir/repos" --log-format text 2>"$dir/provider.log" &
provider_pid=$!
for _ in $(seq 300); do
  [ -s "$dir/provider/provider.json" ] && break
  kill -0 "$provider_pid" 2>/dev/null || { echo "the provider ended"; exit 1; }
  read -rt 0.1 <> <(:) || true
done
ingress=$(jq -re .ingress "$dir/provider/provider.json")

# deploy APP: the provider fetches the commit itself, and is told nothing but its name.
deploy() {
  local made url
  call -o "$dir/made.json" http://provider/deploy -H 'Content-Type: application/json' \
    -d "{\"name\":\"$1\",\"source\":\"file://$dir/repos/$1\",\"ref\":\"main\",\"port\":8080,\"resources\":{\"cpu\":\"200m\",\"memory\":\"128Mi\"}}"
  made=$dir/made.json
  echo "commit   $(jq -r .source.commit_sha "$made")"
  echo "command  $(jq -r '.entry.argv // [] | join(" ")' "$made")"
  jq -r '.entry.reason[]? | "because  " + .' "$made"
  call "http://provider/api/v1/builds/$(jq -re .build_id "$made")/logs" | sed 's/^/log      /'
  echo "image    $(jq -r .image_digest "$made")"
  url=$(jq -re .url "$made")
  echo "url      $url"
  answer=$(curl -fsS --noproxy '*' --max-time 10 --connect-to "::$ingress" "$url")
  echo "answer   $(grep hello <<<"$answer")"
}

step=4
for app in flask go site; do
  say "$step. $app, from its commit"
  deploy "$app"
  step=$((step + 1))
done

say "$step. the same commit gives the same image"
first=$(jq -r .image_digest "$dir/made.json")
deploy site >/dev/null
second=$(jq -r .image_digest "$dir/made.json")
echo "$first"
echo "$second"
[ "$first" = "$second" ]
step=$((step + 1))

say "$step. for somebody who does not trust the provider: built over libp2p, after its proof and before any secret"
publisher=("$bin/publisher" --home "$dir/publisher")
address=$(jq -re '.addrs[0]' "$dir/provider/provider.json")
"${publisher[@]}" policy init --from "$address" -o "$dir/policy.yaml" 2>/dev/null
cat >>"$dir/policy.yaml" <<END
provenance:
  required: true
  repositories: ["file://$dir/repos/site"]
  branches: [refs/heads/main]
END
url=$("${publisher[@]}" deploy --git "file://$dir/repos/site" --name chain --provider "$address" --policy "$dir/policy.yaml")
step=$((step + 1))

say "$step. from the address to the commit"
"${publisher[@]}" verify "$url" --dial "$ingress" --policy "$dir/policy.yaml"
step=$((step + 1))

say "$step. one byte of that changed, somewhere else each time"
nonce=$(head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n')
curl -fsS --noproxy '*' --connect-to "::$ingress" "${url}.well-known/apocryph/attestation?nonce=$nonce" >"$dir/document.json"
offline=("${publisher[@]}" verify --offline --nonce "$nonce" --policy "$dir/policy.yaml")
"${offline[@]}" "$dir/document.json" >/dev/null 2>&1
echo "untouched: affirmed"
size=$(wc -c <"$dir/document.json")
for part in 1 2 3 4 5 6 7 8; do
  at=$((size * part / 9))
  head -c "$at" "$dir/document.json" >"$dir/changed.json"
  byte=$(dd if="$dir/document.json" bs=1 skip="$at" count=1 status=none)
  if [ "$byte" = A ]; then printf B; else printf A; fi >>"$dir/changed.json"
  tail -c +$((at + 2)) "$dir/document.json" >>"$dir/changed.json"
  if "${offline[@]}" "$dir/changed.json" >"$dir/verdict" 2>&1; then
    echo "byte $at of $size: nobody noticed"
    exit 1
  fi
  echo "byte $at of $size: $(grep -m1 error "$dir/verdict" | cut -c1-110)"
done
"${publisher[@]}" delete chain >/dev/null 2>&1
