# make test sets up a fresh Debian machine and runs everything; CONTRIBUTING.md says what the parts are for.
GO ?= go
FUZZTIME ?= 5s

.PHONY: build test unit lint generate generated fuzz bench setup

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

test: setup lint generated build unit fuzz

setup:
	.ci/setup

lint:
	@unformatted=$$($(GO) tool gofumpt -l .); test -z "$$unformatted" || { echo "gofumpt -w would change:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

unit:
	.ci/unit

fuzz:
	.ci/fuzz $(FUZZTIME)

generate:
	$(GO) generate ./...

generated:
	.ci/generated

bench: build
	bin/muster bench proxy
