#!/usr/bin/env bash
# Assembles an image of nginx or redis from Debian's packages, as they are, and
# writes it to DIR/NAME as an OCI image layout. The versions are those that this
# machine's apt offers, from its own mirrors and checked by it; they are kept in
# DIR/NAME.versions, and as long as apt offers the same ones nothing is done.
# Needs no root and runs no maintainer scripts.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 nginx|redis DIR" >&2; exit 2; }
name=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$2"
dir=$(cd "$2" && pwd)

# The packages that the image is made of. What they load at run time is found by
# their dependencies; the rest of those is for installing and administering.
case $name in
  nginx) packages="nginx nginx-common base-passwd" ;;
  redis) packages="redis-server redis-tools base-passwd" ;;
  *) echo "$0: no such image: $name" >&2; exit 2 ;;
esac

# libraries prints the arguments and all libraries that they depend on.
libraries() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
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

# versions prints PACKAGE=VERSION for each argument, as apt would install it.
versions() {
  apt-cache show --no-all-versions "$@" | awk '/^Package: / { p = $2 } /^Version: / { print p "=" $2 }' | sort -u
}

# shellcheck disable=SC2086 # they are words
offered() { versions $(libraries $packages) && sha256sum <"$0" && sha256sum <"$here/layout/main.go"; }

# An apt that was never updated knows no package.
if ! apt-cache show nginx redis-server >/dev/null 2>&1; then
  sudo=; [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -q >/dev/null
fi
work=$(mktemp -d)
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
offered >"$work/versions"
if [ -s "$dir/$name/index.json" ] && cmp -s "$work/versions" "$dir/$name.versions"; then exit 0; fi
rm -f "$dir/$name.versions"

mkdir "$work/debs" "$work/root"
# It says that it downloads as the caller, for the directory is the caller's.
(cd "$work/debs" && grep = "$work/versions" | xargs apt-get download -q >/dev/null 2>"$work/log") || { cat "$work/log" >&2; exit 1; }
root=$work/root
mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{dev,etc,proc,run,sys,tmp,var}
for d in bin sbin lib lib64; do ln -s "usr/$d" "$root/$d"; done
ln -s ../run "$root/var/run"
for deb in "$work"/debs/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink --no-same-owner
done
rm -rf "$root"/usr/share/{doc,man,locale,lintian,bash-completion,vim,apport,bug} "$root"/usr/lib/*/gconv "$root"/etc/{init.d,logrotate.d,ufw}

# What the maintainer scripts would do.
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
case $name in
  nginx)
    mkdir -p "$root/var/www/html" "$root/var/log/nginx"
    cp "$root/usr/share/nginx/html/index.html" "$root/var/www/html/index.nginx-debian.html"
    ln -s /etc/nginx/sites-available/default "$root/etc/nginx/sites-enabled/default"
    ln -s /dev/stdout "$root/var/log/nginx/access.log"
    ln -s /dev/stderr "$root/var/log/nginx/error.log"
    config=(-port 80/tcp -entrypoint /usr/sbin/nginx -- -g 'daemon off;')
    ;;
  redis)
    echo 'redis:x:101:101::/data:/usr/sbin/nologin' >>"$root/etc/passwd"
    echo 'redis:x:101:' >>"$root/etc/group"
    mkdir "$root/data"
    config=(-user redis -port 6379/tcp -entrypoint /usr/bin/redis-server -- --dir /data --protected-mode no)
    ;;
esac
chmod 1777 "$root/tmp"
[ ! -d "$root/data" ] || chmod 1777 "$root/data"
tar -c -f "$work/root.tar" -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner .
rm -rf "${dir:?}/$name"
(cd "$here/../.." && go run ./e2e/debian/layout -o "$dir/$name" -root "$work/root.tar" "${config[@]}")
cp "$work/versions" "$dir/$name.versions"
