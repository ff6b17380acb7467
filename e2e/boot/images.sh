#!/usr/bin/env bash
# Writes what is deployed in the guest to DIR: the sample app, and pods that
# misbehave, made of busybox.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1
cd "$(dirname "$0")/../.."

mkdir "$dir"
go run ./e2e/sample -o "$dir/image"
cp e2e/sample/app.yaml "$dir/hello.yaml"
cp e2e/boot/pods/*.yaml "$dir/"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/root/bin" "$root/root/proc" "$root/root/sys" "$root/root/dev" "$root/root/etc"
cp "$(command -v busybox)" "$root/root/bin/busybox"
for applet in sh sleep dd; do ln -s busybox "$root/root/bin/$applet"; done
tar -c -f "$root/tar" -C "$root/root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner .
go run ./e2e/debian/layout -o "$dir/busybox" -root "$root/tar" -entrypoint /bin/sh
