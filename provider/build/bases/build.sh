#!/usr/bin/env bash
# Assembles base images from Debian's packages and writes them to DIR/ROLE as OCI
# image layouts: the same lock file gives the same digests, which DIR/ROLE.digest has.
# Packages come from this machine's mirrors, checked by apt, and are held to the
# lock file, by hash. Needs no root and runs no maintainer scripts.
#
#   build.sh DIR [ROLE...]            what bases.lock pins
#   build.sh --refresh DIR [ROLE...]  writes bases.lock anew first, with what is offered now
#
# BASES_LOCK is another lock file. BASES_MIRROR and BASES_SECURITY are other
# mirrors, such as those of an archive that keeps what mirrors have replaced.
# BASES_AUTHORITIES is a PEM file that the images trust beside Debian's
# authorities, for a network whose registries have certificates of its own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lock=${BASES_LOCK:-$here/bases.lock}
refresh=; [ "${1:-}" != --refresh ] || { refresh=1; shift; }
[ $# -ge 1 ] || { echo "usage: $0 [--refresh] DIR [python|node|go|dockerfile]..." >&2; exit 2; }
mkdir -p "$1"; dir=$(cd "$1" && pwd); shift
[ $# -gt 0 ] || set -- python node go dockerfile
release=bookworm go=1.26

# roots prints what an image is made of. What it loads at run time is found by the
# dependencies on libraries; the rest of those is for installing and administering.
roots() {
  case $1 in
    python) echo busybox-static python3.11 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib media-types netbase tzdata ca-certificates python3-pip-whl \
      python3-opentelemetry-api python3-opentelemetry-sdk python3-opentelemetry-semantic-conventions python3-typing-extensions ;;
    node) echo busybox-static nodejs node-acorn node-busboy node-cjs-module-lexer node-undici node-xtend netbase tzdata ca-certificates ;;
    go) echo busybox-static "golang-$go-go" "golang-$go-src" netbase ca-certificates ;;
    dockerfile) echo buildah golang-github-containers-common golang-github-containers-image dash netbase ca-certificates ;;
    *) echo "$0: no such role: $1" >&2; exit 2 ;;
  esac
}

work=$(mktemp -d)
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT

# offers prepares an apt of our own, for $release and a few packages of unstable: the Go
# of $release is too old for most of today's modules, and OpenTelemetry is not in it.
offers() {
  [ ! -e "$work/apt.conf" ] || return 0
  mirror() { apt-get indextargets --format '$(LABEL) $(REPO_URI)' "$@" | sort -u | awk -v l="$label" '$1 == l { print $2; exit }'; }
  label=Debian; main=${BASES_MIRROR:-$(mirror)}
  label=Debian-Security; security=${BASES_SECURITY:-$(mirror)}
  [ -n "$main" ] && [ -n "$security" ] || { echo "$0: apt knows no mirrors of Debian: run apt-get update, or set BASES_MIRROR and BASES_SECURITY" >&2; exit 1; }
  mkdir -p "$work"/apt/lists/partial "$work"/apt/cache/archives/partial
  cat >"$work/sources.list" <<END
deb [check-valid-until=no] $main $release main
deb [check-valid-until=no] $security $release-security main
deb [check-valid-until=no] $main sid main
END
  cat >"$work/preferences" <<END
Package: *
Pin: release n=sid
Pin-Priority: 1

Package: golang-$go-go golang-$go-src python3-opentelemetry-* python3-typing-extensions
Pin: release n=sid
Pin-Priority: 990
END
  cat >"$work/apt.conf" <<END
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "$work/preferences";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::status "/dev/null";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "3";
APT::Sandbox::User "";
END
  apt-get -q -c "$work/apt.conf" update >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
}

# closure prints the arguments and all libraries that they depend on.
closure() {
  apt-cache -c "$work/apt.conf" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
    awk -v roots="$*" '
      /^[^ <]/ { package = $1; either = 0; next }
      /Depends:/ { taken = either; either = /^ *\|/; if (!taken && $2 ~ /^(lib|zlib)/) needs[package] = needs[package] " " $2 }
      END {
        n = split(roots, queue, " ")
        for (i = 1; i <= n; i++) seen[queue[i]] = 1
        for (i = 1; i <= n; i++) {
          print queue[i]
          m = split(needs[queue[i]], next_ones, " ")
          for (j = 1; j <= m; j++) if (!seen[next_ones[j]]++) queue[++n] = next_ones[j]
        }
      }'
}

# pins prints ROLE PACKAGE VERSION SHA256 for each package of a role.
pins() {
  # shellcheck disable=SC2046 # they are words
  apt-cache -c "$work/apt.conf" show --no-all-versions $(closure $(roots "$1")) |
    awk -v role="$1" '/^Package: / { p = $2 } /^Version: / { v = $2 } /^SHA256: / { print role, p, v, $2 }' | LC_ALL=C sort -u
}

# fetch downloads the packages of a role to DIR/.debs, named by hash.
fetch() {
  local missing=() package version sum
  mkdir -p "$dir/.debs"
  while read -r _ package version sum; do
    [ -e "$dir/.debs/$sum" ] || missing+=("$package=$version")
  done < <(grep "^$1 " "$lock")
  [ ${#missing[@]} -gt 0 ] || return 0
  offers
  rm -rf "$work/new"; mkdir "$work/new"
  (cd "$work/new" && apt-get -q -c "$work/apt.conf" download "${missing[@]}" >"$work/log" 2>&1) || {
    grep '^E:' "$work/log" | tail -n 3 >&2
    echo "$0: packages cannot be downloaded. Where the mirror has replaced what $(basename "$lock") pins: run it with --refresh, or set BASES_MIRROR to an archive" >&2
    exit 1
  }
  for deb in "$work"/new/*.deb; do mv "$deb" "$dir/.debs/$(sha256sum <"$deb" | cut -d' ' -f1)"; done
  while read -r _ package version sum; do
    [ -e "$dir/.debs/$sum" ] || { echo "$0: $package $version is not the one that $(basename "$lock") pins" >&2; exit 1; }
  done < <(grep "^$1 " "$lock")
}

unpack() {
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{app,dev,etc/ssl/certs,proc,run,sys,tmp,var}
  local d sum
  for d in bin sbin lib lib64; do ln -s "usr/$d" "$root/$d"; done
  while read -r _ _ _ sum; do
    dpkg-deb --fsys-tarfile "$dir/.debs/$sum" | tar -x -C "$root" --keep-directory-symlink --no-same-owner
  done < <(grep "^$1 " "$lock")
  # What maintainer scripts would do.
  if [ -e "$root/usr/bin/busybox" ]; then
    # A shell, and env, which the first line of most scripts names.
    "$root/usr/bin/busybox" --list | while read -r d; do [ -e "$root/usr/bin/$d" ] || ln -s busybox "$root/usr/bin/$d"; done
  else
    ln -sf dash "$root/usr/bin/sh"
  fi
  find "$root/usr/share/ca-certificates" -name '*.crt' | LC_ALL=C sort | xargs cat >"$root/etc/ssl/certs/ca-certificates.crt"
  [ -z "${BASES_AUTHORITIES:-}" ] || cat "$BASES_AUTHORITIES" >>"$root/etc/ssl/certs/ca-certificates.crt"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
  rm -rf "$root"/usr/share/{ca-certificates,doc,doc-base,man,info,locale,lintian,bash-completion,vim,apport,bug,pixmaps,applications,menu,binfmts} \
    "$root"/usr/lib/*/gconv "$root"/etc/{init.d,logrotate.d,cron*,kernel,apparmor.d} "$root"/usr/sbin/*
}

# As commands, not as entry points, which would be put before the CMD of a Dockerfile.
python() {
  local lib=$root/usr/lib/python3.11 packages=$root/usr/lib/python3/dist-packages
  ln -s python3.11 "$root/usr/bin/python3"; ln -s python3 "$root/usr/bin/python"
  rm -rf "$lib"/{idlelib,lib2to3,pydoc_data,test,tkinter,turtledemo,config-3.11-*,sitecustomize.py,_sysconfigdata__linux*.pyc} "$root/etc/python3.11"
  # pip is used from its archive, which is a directory to Python.
  echo "/usr/share/python-wheels/$(cd "$root/usr/share/python-wheels" && ls)" >"$packages/pip.pth"
  cp "$here/python/apocryph_telemetry.py" "$packages/"
  mkdir "$packages/apocryph_telemetry-1.dist-info"
  printf '[opentelemetry_tracer_provider]\napocryph = apocryph_telemetry:provider\n' >"$packages/apocryph_telemetry-1.dist-info/entry_points.txt"
  printf 'Metadata-Version: 2.1\nName: apocryph-telemetry\nVersion: 1\n' >"$packages/apocryph_telemetry-1.dist-info/METADATA"
  # The image's own Python compiles: else each start would, for the file system is read-only.
  find "$root" -name __pycache__ -prune -exec rm -rf {} +
  env -i PYTHONHOME="$root/usr" PYTHONHASHSEED=0 "$root"/usr/lib64/ld-linux-*.so.* --library-path "$(echo "$root"/usr/lib/*-linux-gnu)" "$root/usr/bin/python3.11" -S -B \
    -m compileall -q -f -j 1 --invalidation-mode unchecked-hash -s "$root" -p / "$lib" "$packages"
  config=(-port 50051/tcp -env "PYTHON_VERSION=$(grep '^python python3.11 ' "$lock" | cut -d' ' -f3 | cut -d- -f1)"
    -env PYTHONDONTWRITEBYTECODE=1 -env PYTHONUNBUFFERED=1 -env OTEL_PYTHON_TRACER_PROVIDER=apocryph /usr/bin/python)
}

node() {
  config=(-env "NODE_VERSION=$(grep '^node nodejs ' "$lock" | cut -d' ' -f3 | cut -d+ -f1)" -env NODE_ENV=production /usr/bin/node)
}

go_() {
  ln -s "../lib/go-$go/bin/go" "$root/usr/bin/go"
  rm -rf "$root/usr/share/go-$go"/{test,api,misc} "$root/usr/share/gocode"
  config=(-env "GOLANG_VERSION=$(grep "^go golang-$go-go " "$lock" | cut -d' ' -f3 | cut -d- -f1)" -env GOTOOLCHAIN=local /usr/bin/go)
}

dockerfile() {
  mkdir -p "$root/var/tmp"; chmod 1777 "$root/var/tmp"
  config=(-env STORAGE_DRIVER=vfs -env BUILDAH_ISOLATION=chroot /usr/bin/buildah)
}

if [ -n "$refresh" ]; then
  offers
  touch "$lock"
  for role; do
    { grep -v "^$role " "$lock" || true; pins "$role"; } | LC_ALL=C sort -u >"$work/lock"
    cp "$work/lock" "$lock"
  done
fi
for role; do
  roots "$role" >/dev/null
  grep -q "^$role " "$lock" 2>/dev/null || { echo "$0: $lock pins nothing for $role: run it with --refresh" >&2; exit 1; }
  state=$({ grep "^$role " "$lock"; cat "$0" "$here"/python/*.py "$here/../../../e2e/debian/layout/main.go" ${BASES_AUTHORITIES:+"$BASES_AUTHORITIES"}; } | sha256sum | cut -d' ' -f1)
  [ "$(cat "$dir/$role.state" 2>/dev/null)" != "$state" ] || [ ! -s "$dir/$role/index.json" ] || continue
  rm -f "$dir/$role.state"
  fetch "$role"
  root=$work/root; rm -rf "$root"; mkdir "$root"
  unpack "$role"
  case $role in go) go_ ;; *) "$role" ;; esac
  chmod -R go-w,a+rX "$root"
  chmod 1777 "$root/tmp"
  tar -c -f "$work/root.tar" -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu .
  rm -rf "${dir:?}/$role"
  (cd "$here/../../.." && go run ./e2e/debian/layout -o "$dir/$role" -root "$work/root.tar" -user 65532:65532 -dir /app "${config[@]}")
  grep -o 'sha256:[0-9a-f]*' "$dir/$role/index.json" | head -1 >"$dir/$role.digest"
  echo "$state" >"$dir/$role.state"
  echo "$role $(cat "$dir/$role.digest") $(du -sh "$dir/$role" | cut -f1)"
done
