#!/usr/bin/env bash
# Measures bin/provider and bin/publisher, each figure beside its yardstick, and
# prints one table. Arguments go to the benchmark:
#
#	e2e/bench.sh -rows warm,attest -n 3
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "containers and network namespaces need root: sudo make bench" >&2; exit 1; }
exec go run ./e2e/bench "$@"
