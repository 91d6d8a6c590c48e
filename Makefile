# Everything that is done with this repository, as targets. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := .venv/bin
STAMP := .venv/installed
SOURCES := benchmarks contracts migrations orchestrator participants supply tests
BASE = $(shell .ci/base)
LOCK ?= requirements-dev.lock
TEST_WORKERS ?= 2
TEST_OPTIONS ?=

export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## This list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 18

.PHONY: demo
demo: $(STAMP) ## Two nodes, three participants, 300 orders, one kill -9; prints what came of them.
	@python -m orchestrator.local.demo

.PHONY: demo-repair
demo-repair: $(STAMP) ## 2,000 orders while payment is down; what is stuck is found, explained and repaired with one command.
	@python -m orchestrator.local.repairs --orders $(or $(ORDERS),2000)

.PHONY: run
run: $(STAMP) ## The same stack, kept up until Ctrl-C; its data stays in var/.
	@python -m orchestrator.local.stack

.PHONY: test
test: $(STAMP) ## Every test that needs Python packages only: unit, property, integration.
	pytest --numprocesses=$(TEST_WORKERS) --dist=loadfile $(TEST_OPTIONS) $$(python -m tests.tiers test)

.PHONY: test-system
test-system: $(STAMP) ## Tests of whole processes: kill -9, outages, the demo.
	pytest $(TEST_OPTIONS) $$(python -m tests.tiers test-system)

.PHONY: simulate
simulate: $(STAMP) ## The shipped engine in a simulated world that fails: SEED=… ROUNDS=… SAGAS=… DEFINITIONS=… MODE=…
	@python -m tests.simulation --seed $(or $(SEED),$$RANDOM) --rounds $(or $(ROUNDS),20) --sagas $(or $(SAGAS),150) \
	    --definitions $(or $(DEFINITIONS),all) --mode $(or $(MODE),both)

.PHONY: test-chaos
test-chaos: $(STAMP) ## Every quick fault class on real processes, and planted defects; needs strace and libfaketime.
	pytest --numprocesses=$(TEST_WORKERS) --dist=loadfile $(TEST_OPTIONS) $$(python -m tests.tiers test-chaos)

.PHONY: chaos
chaos: $(STAMP) ## Every fault class at full length, then a storm: a quarter of an hour. SEED=… plays a run again; needs root.
	@PYTHONPATH=.:generated python -m tests.chaos --seed $(or $(SEED),0)

.PHONY: exhaust
exhaust: $(STAMP) ## Every schedule of small sagas with up to DEPTH mishaps (2).
	@python -m tests.simulation.exhaustive --depth $(or $(DEPTH),2)

.PHONY: bench
bench: $(STAMP) ## Sagas per second, latencies and costs, next to a bare client; PEERS=all for others' engines too.
	@python -m benchmarks --peers $(or $(PEERS),none)

.PHONY: bench-quick
bench-quick: $(STAMP) ## The ratios that matter, next to those kept, in two minutes.
	@python -m benchmarks.quick

.PHONY: scale
scale: $(STAMP) ## A million ended and 100,000 waiting sagas, takeover of 10,000; SOAK=60 soaks for an hour instead.
	@PYTHONPATH=.:generated python -m benchmarks.scale $(if $(SOAK),--soak $(SOAK))

.PHONY: lint
lint: $(STAMP) ## Style of Python, protos, SQL and the Compose file; import rules.
	ruff check .
	ruff format --check .
	buf lint protos
	lint-imports --no-logo
	for chain in $$(python -m migrations.runner chains); do \
	    python -m migrations.runner sql $$chain > .venv/$$chain.sql; \
	    squawk --config .squawk.toml .venv/$$chain.sql; \
	done
	check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

.PHONY: types
types: $(STAMP) ## Strict types.
	mypy $(wildcard $(SOURCES))

.PHONY: generate
generate: $(STAMP) ## generated/ anew from protos/.
	python -m contracts.codegen protos generated 2>&1 | sed '/^Writing mypy/d'

.PHONY: check-generated
check-generated: $(STAMP) ## Fails if generated/ is not what protos/ gives.
	python -m contracts.codegen protos .venv/generated 2>&1 | sed '/^Writing mypy/d'
	diff --recursive --brief --exclude=__pycache__ .venv/generated generated

.PHONY: breaking
breaking: $(STAMP) ## Fails if protos/ breaks a contract that the base has (the last tag, or main before this change).
	@if [ -n "$(BASE)" ]; then \
	    echo "buf breaking protos against $(BASE)"; \
	    buf breaking protos --against '.git#ref=$(BASE),subdir=protos'; \
	else echo "nothing to compare with yet"; fi

.PHONY: env
env: $(STAMP) ## The environment .venv from the lock file; PYTHON=… chooses the interpreter (3.11 or newer).

$(STAMP): $(LOCK) .ci/environment
	@.ci/environment $(LOCK)
	@touch $@

.PHONY: lock
lock: $(STAMP) ## The lock files anew, with the newest releases that pyproject.toml allows.
	.ci/lock

.PHONY: audit
audit: $(STAMP) ## Known vulnerabilities of every pinned package; fails where one could not be looked up.
	@python -m supply.audit requirements.lock requirements-dev.lock

.PHONY: sbom
sbom: $(STAMP) ## What a server installs, as CycloneDX, in var/sbom.cdx.json.
	@mkdir -p var
	@python -m supply.sbom requirements.lock > var/sbom.cdx.json

.PHONY: clean
clean: ## Removes the environment, caches and the local stack's data.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache var
	find . -name __pycache__ -prune -exec rm -rf {} +
