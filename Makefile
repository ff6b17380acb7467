# `make` alone lists the targets. Everything that CI runs is in `make test`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X apocryph/cmd/internal/cli.version=$(VERSION)
RUNC    := provider/containerd/runc/runc.zst
ATTENDANT := provider/containerd/attendant/attendant.zst
STATIC  := provider/build/static/static.zst
# One set of compiled dependencies serves the programs, vet and staticcheck; tests are
# vetted by the target check.
GOPURE  := CGO_ENABLED=0 GOFLAGS="$$(go env GOFLAGS) -trimpath"
GOTEST  := go test -race -vet=off -shuffle=on -timeout 45m
FUZZTIME ?= 60s

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

bootstrap: ## install what building and testing need (Debian packages; nothing else is changed)
	.ci/bootstrap build test

bootstrap-build:
	@.ci/bootstrap build

$(RUNC): provider/containerd/runc/build.sh
	provider/containerd/runc/build.sh

$(ATTENDANT): $(wildcard provider/containerd/attendant/*.go provider/containerd/attendant/*/*.go) provider/containerd/attendant/build.sh go.mod
	provider/containerd/attendant/build.sh

$(STATIC): $(wildcard provider/build/static/*.go provider/build/static/*/*.go) provider/build/static/build.sh go.mod
	provider/build/static/build.sh

build: bootstrap-build $(RUNC) $(ATTENDANT) $(STATIC) ## write bin/provider and bin/publisher
	$(GOPURE) go build -tags embedrunc -ldflags '$(LDFLAGS)' -o bin/provider ./cmd/provider
	$(GOPURE) go build -ldflags '$(LDFLAGS)' -o bin/publisher ./cmd/publisher

bases: ## write base images for builds from source to bin/bases, from Debian's packages
	provider/build/bases/build.sh bin/bases

install: build ## put both programs into PREFIX/bin (default /usr/local)
	install -d $(DESTDIR)$(or $(PREFIX),/usr/local)/bin
	install bin/provider bin/publisher $(DESTDIR)$(or $(PREFIX),/usr/local)/bin

demo: build ## deploy the sample app, encrypted, to a provider on this machine and ask it
	@.ci/bootstrap run
	e2e/demo.sh

demo-source: build ## deploy three apps from commits to a provider that builds them, and ask them
	@.ci/bootstrap run source
	e2e/demo-source.sh

check: proto-check ## formatting, vet, staticcheck, generated code, module file
	@test -z "$$(go tool gofumpt -l . | tee /dev/stderr)" || { echo 'run `make fmt`'; exit 1; }
	go mod tidy -diff
	$(GOPURE) go vet ./...
	$(GOPURE) go tool staticcheck ./...

test: bootstrap build check ## everything that CI runs, from a fresh clone
	$(GOPURE) go build ./...
	GOOS=darwin $(GOPURE) go build -o /dev/null ./cmd/publisher
	GOOS=windows $(GOPURE) go build -o /dev/null ./cmd/publisher
	.ci/coverage $(GOTEST)
	$(GOTEST) $$(go list ./... | grep -v -e /e2e -e /provider/containerd | grep -vxFf .ci/pure)
	$(GOTEST) -p 1 ./provider/containerd/... ./e2e/...
	.ci/contract bin/provider
	@test -z "$$(git status --porcelain)" || { git status --short; echo 'the tests left the tree changed'; exit 1; }

e2e-boot: build ## boot a virtual machine with cgroup v2 and a TPM, and deploy in it (about six minutes)
	.ci/bootstrap boot
	e2e/boot/run.sh bin/provider bin/publisher

bench: build ## measure, each figure beside its yardstick in the same run
	@.ci/bootstrap run bench
	e2e/bench.sh

contract: build ## hold the HTTP API against its OpenAPI document with foreign tools (npm packages)
	@.ci/bootstrap run
	.ci/contract bin/provider

fuzz: ## fuzz every parser, FUZZTIME each (default 60s)
	.ci/fuzz $(FUZZTIME)

fmt: ## format the code
	go tool gofumpt -l -w .

proto: ## generate the Go code of proto/*.proto
	proto/generate.sh

proto-check:
	proto/generate.sh
	git diff --exit-code -- proto

clean: ## remove what was built
	rm -rf bin $(RUNC) $(ATTENDANT) $(STATIC)

.PHONY: bases demo-source contract e2e-boot help bootstrap bootstrap-build build install demo check test bench fuzz fmt proto proto-check clean
