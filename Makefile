.DEFAULT_GOAL := help

# The race detector needs a C compiler; all else does without.
RACE := $(if $(shell command -v $(or $(CC),cc)),-race)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
ENGINES := host trixie-classic trixie-containerd
# What 'make bench' measures, where it keeps the figures, and on which engines.
BENCH ?= .
BENCH_RESULTS ?=
BENCH_ENGINES ?= $(ENGINES)
FUZZTIME ?= 60s
ENGINE_PACKAGES := ./engine/... ./prune/... ./push/... ./restore/... ./cmd/... ./internal/torture
# Most tests of archives ask no engine: 'make test' runs them, once.
ARCHIVE_TESTS := RealEngine|CrossKinds

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/archprune.
	CGO_ENABLED=0 go build -trimpath -o bin/archprune ./cmd/archprune

.PHONY: release
release: ## Build what a release brings into dist/.
	scripts/release.sh dist

.PHONY: release-check
release-check: ## Build twice, compare; install and purge the Debian package (root).
	scripts/release-check.sh

.PHONY: release-check-full
release-check-full: ## The same for all platforms, from nothing (root, debootstrap, rpm).
	scripts/release-check.sh full

.PHONY: unit-check
unit-check: ## Boot a Debian whose timer runs the Debian package (root, debootstrap, systemd-container).
	scripts/unit-check.sh

.PHONY: demo
demo: ## Show archiving, pruning and rolling back on a private engine (root).
	@scripts/demo.sh

.PHONY: test
test: ## Run all tests, on a private Docker engine of this machine (root).
	scripts/engine.sh host
	go test $(RACE) -shuffle=on -timeout 45m ./...

.PHONY: test-engines
test-engines: ## Run the tests that need an engine on every kind of engine (root).
	scripts/engine.sh host
	scripts/engine.sh trixie
	@set -e; for engine in $(ENGINES); do \
		echo "== tests on engine $$engine"; \
		export ARCHPRUNE_TEST_ENGINE=$$engine; \
		go test -count=1 $(RACE) -timeout 30m -skip Thousand $(ENGINE_PACKAGES); \
		go test -count=1 $(RACE) -run '$(ARCHIVE_TESTS)' ./archive; \
	done
	ARCHPRUNE_TEST_ENGINE=$(lastword $(ENGINES)) go test -count=1 $(RACE) ./internal/limits

.PHONY: test-next
test-next: ## The same on the engine of Debian's next release, as it is today (root).
	scripts/engine.sh testing
	@$(MAKE) test-engines ENGINES="testing-classic testing-containerd"

.PHONY: test-podman
test-podman: ## Run the tests that need an engine on podman's service of Docker's API (root).
	scripts/engine.sh host
	ARCHPRUNE_TEST_ENGINE=podman go test -count=1 $(RACE) -timeout 30m -skip Thousand $(ENGINE_PACKAGES)

.PHONY: disk
disk: ## Let each call of the archive's file system fail, and the power be lost there (root).
	scripts/engine.sh host
	scripts/engine.sh trixie
	scripts/torture.sh disk

.PHONY: races
races: ## Run archprune beside others at work, on every kind of engine (root).
	scripts/engine.sh host
	scripts/engine.sh trixie
	@set -e; for engine in $(ENGINES); do \
		ARCHPRUNE_TEST_ENGINE=$$engine go test -tags torture -count=1 -v -timeout 30m ./internal/races; \
	done

.PHONY: safety
safety: ## Take each line away that images rest on: its test must fail (root; see doc/safety.md).
	scripts/engine.sh host
	scripts/engine.sh trixie
	go test -tags safety -count=1 -v -timeout 120m ./internal/safety

.PHONY: pages
pages: ## Run every command in README.md and doc/ (root).
	scripts/engine.sh host
	go test -tags pages -count=1 -timeout 60m ./internal/pages

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (60s), one after another.
	@set -e; for package in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		for target in $$(go test -list '^Fuzz' ./$$package | grep '^Fuzz'); do \
			echo "== $$target in $$package"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x ./$$package; \
		done; \
	done

.PHONY: torture
torture: ## All that treats archprune badly, in its long form, with a summary (root; what hosts needs).
	scripts/engine.sh host
	scripts/engine.sh trixie
	scripts/torture.sh

.PHONY: hosts
hosts: ## Run several hosts on one archive: on ext4, XFS and sshfs (root; xfsprogs, sshfs, openssh-server).
	scripts/engine.sh host
	go test -tags torture -count=1 -v -timeout 60m ./internal/hosts

.PHONY: conformance
conformance: ## Run the OCI distribution tests against archprune serve.
	go test -count=1 -tags conformance -run TestConformance -v ./serve

.PHONY: report-check
report-check: ## Use the page of archprune report in a browser, with the keyboard (root).
	scripts/engine.sh browser
	go test -count=1 -tags browser -run TestReportInABrowser ./cmd/archprune

.PHONY: bench
bench: ## Measure against what people do without archprune (root; see doc/benchmarks.md).
	scripts/engine.sh host
	scripts/engine.sh trixie
	@set -e; results=$(abspath $(BENCH_RESULTS)); results=$${results:-$$(mktemp -d)}; \
	for engine in $(BENCH_ENGINES); do \
		ARCHPRUNE_TEST_ENGINE=$$engine BENCH_RESULTS=$$results \
			go test -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout 120m ./internal/bench; \
	done; \
	go run ./internal/bench/tables $$results; \
	echo "The figures are in $$results: BENCH_RESULTS=$$results goes on from there."

.PHONY: bench-parts
bench-parts: ## Measure archprune's parts by themselves.
	go test -run '^$$' -bench . ./archive/... ./selector

.PHONY: lint
lint: ## Check format, vet, staticcheck and go.mod.
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go mod tidy -diff
