#!/bin/sh
# Builds the web server that is embedded with the build tag embedrunc: static,
# compressed. The same source and compiler give the same bytes.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o "$tmp/static" ./apocryph-static
go run ../../containerd/runc/pack.go "$tmp/static" "$tmp/static.zst"
mv "$tmp/static.zst" static.zst.new
mv static.zst.new static.zst
