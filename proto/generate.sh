#!/bin/sh
# Writes the Go code of every .proto file beside it, one package per protocol.
set -eu
cd "$(dirname "$0")/.."
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
PATH="$bin:$PATH" protoc --proto_path=proto --go_out=. --go_opt=module=apocryph proto/*.proto
