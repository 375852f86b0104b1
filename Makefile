# What can be done here, in one word each. `make` alone says what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# `CHANCERY_TEST_FULL=1 make test` takes an hour more: 1,000 kills, 100,000 calls with request ids, a failure at each of
# many system calls, where it is a few of each otherwise.
# `make demo DEMO_PROFILE=debug` builds faster and signs slower.
DEMO_PROFILE ?= release
# Such as `make bench BENCH_ARGUMENTS='--json figures.json --workers 1 --threads 2'`.
BENCH_ARGUMENTS ?=
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
DEMO_VENV := $(TARGET)/demo-venv
TEST_VENV := $(TARGET)/test-venv

.PHONY: help demo test bench lint audit clean-demo install

help:
	@echo 'make demo    start a daemon on a fresh token, use it in every way, have other tools check all of it'
	@echo 'make test    run all tests'
	@echo 'make bench   measure what the daemon costs beside the bare token'
	@echo 'make lint    check formatting, lints and the protocol definition'
	@echo 'make audit   check dependencies: advisories, licences, sources'
	@echo 'make clean-demo   remove what make demo has installed under target/'

# Before Python 3.10 a program that is started inherits what gRPC does on a fork, and may fail of it.
demo: install $(DEMO_VENV)/complete
	@echo 'Building chanceryd ($(DEMO_PROFILE)); the first time takes some minutes ...'
	@cargo build --locked --bins --profile $(if $(filter debug,$(DEMO_PROFILE)),dev,$(DEMO_PROFILE))
	@GRPC_ENABLE_FORK_SUPPORT=0 CHANCERYD=$(TARGET)/$(DEMO_PROFILE)/chanceryd \
		$(DEMO_VENV)/bin/python demo/demo.py

test: install $(TEST_VENV)/complete
	@tests/install.sh
	@TARGET=$(TARGET) PYTHON=$(TEST_VENV)/bin/python tests/run.sh

bench: install
	cargo bench --locked --bench cost -- $(BENCH_ARGUMENTS)

lint: install
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if command -v npx >/dev/null; then \
		echo 'buf lint'; cd proto && npx --yes @bufbuild/buf lint; \
	else \
		echo 'The protocol definition is not checked: that takes npx (apt-get install npm)'; \
	fi

audit:
	@cargo deny --version >/dev/null 2>&1 || { \
		echo 'cargo-deny is not installed: cargo install --locked cargo-deny' >&2; exit 1; }
	cargo deny check

clean-demo:
	rm -rf $(DEMO_VENV)

install:
	@softhsm/install.sh

# The client is installed by link, so that what is tried is what is in the tree.
$(DEMO_VENV)/complete: clients/python/pyproject.toml demo/requirements.txt | install
	@echo 'Installing the Python client, and what checks its results, under target/demo-venv ...'
	@rm -rf $(DEMO_VENV)
	@python3 -m venv $(DEMO_VENV)
	@$(DEMO_VENV)/bin/pip install --quiet --disable-pip-version-check -e clients/python -r demo/requirements.txt
	@touch $@

$(TEST_VENV)/complete: clients/python/pyproject.toml | install
	@echo 'Installing the Python client and its tests under target/test-venv ...'
	@rm -rf $(TEST_VENV)
	@python3 -m venv $(TEST_VENV)
	@$(TEST_VENV)/bin/pip install --quiet --disable-pip-version-check -e 'clients/python[test]'
	@touch $@
