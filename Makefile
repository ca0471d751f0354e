# ovs-plugin: `make help` lists what can be made.

SHELL   := /bin/bash
PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo

# Tests mostly wait for daemons, so more of them than there are processors run at once.
RUST_TEST_THREADS ?= $(shell echo $$(( 3 * $$(nproc) )))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-docker chaos fuzz lint build man flist bench generate record-limits install clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## install what building and testing need, if it is missing
	@scripts/setup

# What is shown does not depend on how the program was optimised, and the shipped profile takes minutes to link.
demo: setup ## build, and show the plugin at work on a private switch
	$(CARGO) build --profile demo --bin ovs-plugin
	@scripts/demo "$${CARGO_TARGET_DIR:-target}/demo/ovs-plugin"

TEST_DOCKER = OVS_PLUGIN_TEST_TARGET=docker RUST_TEST_THREADS=$(RUST_TEST_THREADS) $(CARGO) test --no-fail-fast --test behaviour

# The limits are those of the static binary. Only root can run the container's image, so for others it is not built, and
# its tests say that they are skipped.
test: setup $(if $(filter 0,$(shell id -u)),flist,build) ## run all tests, as root also those of the container's image
	@status=0; \
	RUST_TEST_THREADS=$(RUST_TEST_THREADS) $(CARGO) test --no-fail-fast || status=1; \
	if [ "$$(id -u)" -ne 0 ]; then \
		echo "skipped: the tests of the container's image, which only root can run"; \
	elif ! docker version >/dev/null 2>&1; then \
		echo "skipped: the black-box tests on the image's ovsdb-server, since no Docker engine answers"; \
	else \
		$(TEST_DOCKER) || status=1; \
	fi; \
	exit $$status

test-docker: ## run the black-box tests on the ovsdb-server of the container's image, after make flist
	$(TEST_DOCKER)

# The short form is part of make test. This one takes about an hour on two processors.
CHAOS_SEED ?= $(shell date +%s)
CHAOS_WORLDS ?= $(RUST_TEST_THREADS)
CHAOS_CALM ?= 1000
CHAOS_COMMANDS ?= 10000
CHAOS_RACES ?= 3000
CHAOS = $(foreach name,SEED WORLDS CALM COMMANDS RACES,CHAOS_$(name)=$(CHAOS_$(name)))

chaos: setup ## hold 10,000 commands under faults, and races, against database and kernel; CHAOS_SEED=1 CHAOS_COMMANDS=100 for less
	$(CHAOS) $(CARGO) test --no-fail-fast --test chaos -- --nocapture --test-threads 1

fuzz: setup ## fuzz what reads strangers' bytes, a minute for each target; FUZZ="300 framing" for one and longer
	@CARGO="$(CARGO)" scripts/fuzz $(FUZZ)

lint: setup ## check formatting, clippy and the documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@# Each driver of the client by itself.
	$(CARGO) clippy --package ovsdb --no-default-features --features tokio -- -D warnings
	$(CARGO) clippy --package ovsdb --no-default-features --features poll -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --package ovsdb --all-features
	@# The program is read by those who work on it.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items --package ovs-plugin
	@cd fuzz && $(CARGO) metadata --locked --format-version 1 >/dev/null || { echo "fuzz/Cargo.lock is behind; run: cd fuzz && cargo metadata" >&2; exit 1; }

build: setup ## build the static binary, target/ovs-plugin, and its manual pages
	@CARGO="$(CARGO)" scripts/build
	@$(MAKE) --no-print-directory man

BUILT = test -x target/ovs-plugin || { echo "target/ovs-plugin is not there; run make build first" >&2; exit 1; }

man: ## write the manual pages and the completions of shells into target/man and target/completions, after make build
	@$(BUILT)
	@rm -rf target/man target/completions
	@mkdir -p target/completions
	@target/ovs-plugin man --output-dir target/man
	@for shell in bash zsh fish; do target/ovs-plugin completions $$shell >target/completions/$$shell || exit 1; done

flist: build ## build the container's image: target/flist/ovs.tar.gz and ovs.oci.tar
	@$(CARGO) run --quiet --locked --profile tool --package flist -- --plugin target/ovs-plugin --output target/flist

bench: build ## measure beside the yardsticks; BENCH="--section library --rounds 5" for less
	@CARGO="$(CARGO)" scripts/bench $(BENCH)

generate: ## bring docs/commands.md and schemas/ up to date
	OVS_PLUGIN_GENERATE=1 $(CARGO) test --quiet --test published

record-limits: build ## write down how many instructions the static binary takes, for the tests to compare with
	OVS_PLUGIN_RECORD_LIMITS=1 $(CARGO) test --quiet --test limits instructions
	@cat tests/limits/instructions.toml

SHARE = $(DESTDIR)$(PREFIX)/share

install: man ## copy target/ovs-plugin, its manual pages and completions to $(DESTDIR)$(PREFIX), after make build
	install -D -m 0755 target/ovs-plugin "$(DESTDIR)$(PREFIX)/bin/ovs-plugin"
	install -d "$(SHARE)/man/man1"
	install -m 0644 target/man/*.1 "$(SHARE)/man/man1"
	install -D -m 0644 target/completions/bash "$(SHARE)/bash-completion/completions/ovs-plugin"
	install -D -m 0644 target/completions/zsh "$(SHARE)/zsh/site-functions/_ovs-plugin"
	install -D -m 0644 target/completions/fish "$(SHARE)/fish/vendor_completions.d/ovs-plugin.fish"

clean: ## remove what was built
	$(CARGO) clean
	rm -rf target/ovs-plugin target/flist target/man target/completions
