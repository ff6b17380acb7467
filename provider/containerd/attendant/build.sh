#!/bin/sh
# Builds the attendant that is embedded with the build tag embedrunc: static,
# compressed.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' -o "$tmp/attendant" ./apocryph-attendant
go run ../runc/pack.go "$tmp/attendant" "$tmp/attendant.zst"
mv "$tmp/attendant.zst" attendant.zst.new
mv attendant.zst.new attendant.zst
