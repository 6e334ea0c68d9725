# Everything that is done with a clone. `make` alone prints this help; each target installs what it
# needs first (scripts/install.sh, safe to repeat).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
INSTALL := scripts/install.sh
# Not for tests/faults: there one failure in a thousand is what is looked for.
TESTS := scripts/tests.sh
export CATTERY_TOOLS ?= $(CURDIR)/.tools

# T narrows tests: make test T=tests/unit, make test T="-k sentence"
T ?=
# The slow ones and those that need a cluster have targets of their own.
MARKS := -m "not slow and not cluster and not compose"
# Three files at a time where tests mostly wait for real processes, each with servers of its own; those
# with a browser and a whole installation one after the other: three of them at once starve each other.
# Where one of these processes dies, the run ends and says so: xdist's next one waits for ever. A test
# that a time-out does not end, say because something swallows it, ends its process, with all stacks.
WORKERS := -n 3 --max-worker-restart 0 -o faulthandler_timeout=660 -o faulthandler_exit_on_timeout=true
SPREAD := $(WORKERS) --dist loadfile
FOLDERS := tests/unit tests/db tests/api tests/workflows tests/replay tests/bridges
PYTHON_FOLDERS := activities api bridges cattery cli clients filemgr gateway tests workers workflows

##@ Run

.PHONY: up down status doctor demo
up: install web ## Install what is missing, then run all of Cattery here (Ctrl-C stops it)
	@exec $(BIN)/cattery up

down: install ## Stop it from another terminal
	@$(BIN)/cattery down

status: install ## Show what runs
	@$(BIN)/cattery status

doctor: install ## Check every part and tool, and say what to do
	@$(BIN)/cattery doctor

demo: install ## Tell the story in the terminal, against the running instance
	@$(BIN)/cattery demo

##@ Install

.PHONY: install install-dev web
install: ## Python packages and harnesses, pinned, into this clone
	@$(INSTALL) runtime

install-dev:
	@$(INSTALL) dev

web: ## Build the web UI into web/dist
	@$(INSTALL) web

##@ Kubernetes

.PHONY: images kind-up kind-down
images: ## Build the images of harnesses, file manager and Cattery (TAG=, REGISTRY=)
	@scripts/images.sh

kind-up: ## Make a cluster with kind and run Cattery in it (needs docker, kind, kubectl)
	@scripts/kind.sh up

kind-down: ## Delete that cluster with everything in it
	@scripts/kind.sh down

##@ Docker Compose

.PHONY: compose-up compose-down
compose-up: ## Run all of Cattery in containers of this machine (needs docker with compose)
	@scripts/compose.sh up

compose-down: ## Stop and remove the containers; data stays on its volumes
	@scripts/compose.sh down

##@ Check

.PHONY: test test-unit test-web test-e2e test-faults test-cut-points test-streams
.PHONY: test-compose test-cluster test-cluster-faults test-cluster-harnesses harness-bench lint fmt bench bench-terminals bench-starts bench-cluster
.PHONY: bench-teardown bench-prompts bench-history bench-files
test: install-dev web ## Run all tests (T=path narrows them to some of the Python tests)
	@$(INSTALL) browsers
ifeq ($(strip $(T)),)
	@cd web && npm test
	@$(TESTS) $(MARKS) $(SPREAD) $(FOLDERS)
	@$(TESTS) $(MARKS) tests/e2e
else
	@exec $(BIN)/pytest $(MARKS) $(T)
endif

test-unit: install-dev ## Run the fast tests only
	@exec $(BIN)/pytest tests/unit $(T)

test-web: ## Run the web UI's unit tests only
	@$(INSTALL) web-deps
	@cd web && npm test

test-e2e: install-dev web ## Run the tests with real processes and a real browser only
	@$(INSTALL) browsers
	@exec $(BIN)/pytest $(MARKS) tests/e2e $(T)

ifeq ($(strip $(T)),)
test-faults: test-cut-points test-streams ## Both of the next two (T=path for some of their tests)
else
test-faults: install-dev
	@exec $(BIN)/pytest $(T)
endif

test-cut-points: install-dev ## Kill workers after each of their calls, in every lifecycle
	@exec $(BIN)/pytest tests/faults --ignore tests/faults/streams

test-streams: install-dev ## Break everything that streams run over
	@exec $(BIN)/pytest $(WORKERS) --dist worksteal tests/faults/streams

test-cluster: install-dev ## Run the tests in a real cluster (CATTERY_CLUSTER_UP= or KUBECONFIG=)
	@$(TESTS) -m "cluster and not slow" -n 2 --dist loadfile tests/cluster $(T)

test-compose: install-dev ## Run compose.yaml under a real Docker engine (docker info, or CATTERY_DOCKER_UP=)
	@exec $(BIN)/pytest tests/compose $(T)

test-cluster-harnesses: install-dev ## Run of these only each harness's rows of the bench in a pod
	@$(TESTS) tests/cluster/test_harnesses.py $(T)

test-cluster-faults: install-dev ## Run those that take the cluster's API server away again and again
	@exec $(BIN)/pytest -m "cluster and slow" tests/cluster $(T)

harness-bench: install-dev web ## Run every harness through the same scenarios (ARGS="--harness codex")
	@exec $(BIN)/python -m tests.harness_bench $(ARGS)

lint: install-dev ## Check style, types and layers, of Python and the web UI
	@$(INSTALL) web-deps
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd web && npm run --silent lint && npm run --silent typecheck

fmt: install-dev ## Format the Python code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-teardown: install-dev ## Measure the teardown of a large project (ARGS="--sessions 10000")
	@exec $(BIN)/python -m tests.bench.teardown $(ARGS)

bench-prompts: install-dev ## Measure how fast prompts are accepted and reach the harness (ARGS=)
	@exec $(BIN)/python -m tests.bench.prompts $(ARGS)

bench-history: install-dev ## Measure history and lists over 10 million events (ARGS="--events 1000000")
	@exec $(BIN)/python -m tests.bench.history $(ARGS)

bench-files: install-dev ## Measure a 1 GiB file up and down, and what memory it takes (ARGS=)
	@exec $(BIN)/python -m tests.bench.files $(ARGS)

bench: install-dev ## Measure the event path beside a null relay (ARGS="--only idle")
	@exec $(BIN)/python -m tests.bench $(ARGS)

bench-terminals: install-dev ## Measure a key's echo through the platform beside a plain PTY
	@exec $(BIN)/python -m tests.bench.terminals

bench-starts: install-dev web ## Measure how long each harness takes to start here
	@exec $(BIN)/python -m tests.bench.starts

bench-cluster: install-dev ## Measure starts of sandboxes in a real cluster, as test-cluster finds it
	@exec $(BIN)/python -m tests.bench.cluster

harness-drift: install-dev web ## Compare a harness with another version (HARNESS=opencode VERSION=1.18.34)
	@$(BIN)/python -m tests.harness_bench.drift --harness "$(HARNESS)" --version "$(VERSION)"

.PHONY: harness-drift
##@ Maintain

.PHONY: bench-teardown types docs workflow-order histories lock clean help
types: install-dev ## Write the OpenAPI document and the web UI's types from it
	@$(INSTALL) web-deps
	$(BIN)/python -m api.openapi > web/openapi.json
	cd web && npm run --silent api:types

docs: install-dev ## Write the tables of harnesses in docs/ from their manifests
	@$(BIN)/python -m cli.harness_docs

workflow-order: install-dev ## Write the order of each workflow's commands down again
	@$(BIN)/python -m tests.replay.command_order

histories: install-dev ## Record the histories that are replayed (STORIES=live_turns for some)
	@$(BIN)/python tests/record_histories.py $(STORIES)

lock: ## Pin the newest allowed versions of all Python packages (needs uv)
	requirements/lock.sh

clean: ## Remove everything that was built or installed here; data stays
	rm -rf .venv .tools .drift .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf web/node_modules web/dist
	find $(PYTHON_FOLDERS) -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@awk 'BEGIN { FS = ":.*##" } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-zA-Z0-9_-]+:.*##/ { printf "  make %-20s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
