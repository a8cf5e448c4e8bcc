.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/postern, one static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/postern ./cmd/postern

demo: build ## run Postern beside its simulator of Exchange Online and Entra ID
	@bin/postern demo

test: tools ## run every test, with the race detector
	POSTERN_TEST_TOOLS=$(if $(CI),require,skip) go test -race -timeout 45m ./...

tools: ## install the mail clients and servers that the end-to-end tests use (Debian, as root)
	@.ci/tools

fuzz: ## run every fuzz target for a short while (FUZZTIME=30s)
	@.ci/fuzz $(or $(FUZZTIME),30s)

bench: build ## measure the gateway beside a bare relay, Dovecot, nginx and Postfix, and print the figures
	go run ./internal/bench -postern bin/postern

package: ## build dist/*.deb and dist/*.rpm, for amd64 and arm64
	@deploy/package/build dist '$(VERSION)' amd64 arm64

check: ## what CI looks at besides the tests: format and vet
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these files'; exit 1; }
	go vet ./...

clean: ## remove what was built
	rm -rf bin dist

.PHONY: help build demo test tools fuzz bench package check clean
