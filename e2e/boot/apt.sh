#!/usr/bin/env bash
# apt.sh DIR PACKAGE unpacks a Debian package into DIR without installing it. It
# comes from this machine's own mirrors, and apt checks its signature. Of a
# package without files, the one it depends on is taken. Prints its name.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 DIR PACKAGE" >&2; exit 2; }
dir=$1 package=$2

# An apt that was never updated knows no package.
if ! apt-cache show "$package" >/dev/null 2>&1; then
  sudo=; [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -q >/dev/null
fi
case $package in
  # The name without a version always depends on the newest.
  linux-image-cloud-*) package=$(apt-cache depends --important "$package" | awk '/Depends: linux-image-/ { print $2; exit }') ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# apt says that it downloads as the caller, for the directory is the caller's.
(cd "$work" && apt-get download -q "$package" >/dev/null 2>log) || { cat "$work/log" >&2; exit 1; }
mkdir -p "$dir"
dpkg-deb -x "$work"/*.deb "$dir"
echo "$package"
