# `make check` is all that CI runs.  It needs Python 3.11 or newer with venv, and nothing else:
# the tools come into .venv from requirements-dev.lock, every file of theirs checked against its hash.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
STAMP := .venv/.complete

# The Python that .venv is made from: the first of these that runs, is new enough and can make one.  The system's own
# comes first: distributions build theirs with the compiler's profile, and one built without, as pyenv does where nothing
# else is said, takes half as long again for everything.
BASE_PYTHON ?= $(shell for python in /usr/bin/python3 python3.11 python3 python3.12 python3.13 python3.14; do \
	"$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)

# Only `make lock` uses it, so it is not among what every check installs.
UV := uv==0.13.8

# One worker a core, at most four: more only makes the time-outs of the socket tests less honest.
WORKERS ?= auto
PYTEST := $(PYTHON) -m pytest -n $(WORKERS) --maxprocesses 4

# As pip does for what it installs: where Python is told to write no bytecode (PYTHONDONTWRITEBYTECODE), every daemon and
# every command that is started here would else compile all of p2pd anew, which is a third of its start.
BYTECODE := $(PYTHON) -m compileall -qq p2pd cli/p2pctl >/dev/null

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One recipe, in this order, also under `make -j`: quick answers first, and pytest's summary as the last line.
.PHONY: check
check: $(STAMP) ## Format check, lint, types and tests: what has to pass before a change goes in
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	@$(BYTECODE)
	$(PYTEST) -m "not long"

.PHONY: format
format: $(STAMP) ## Rewrite the code in the project's format, imports sorted
	$(PYTHON) -m ruff check --select I --fix .
	$(PYTHON) -m ruff format .

.PHONY: lint
lint: $(STAMP) ## Format check and lint
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .

.PHONY: types
types: $(STAMP) ## mypy --strict over all that ships
	$(PYTHON) -m mypy

.PHONY: test
test: $(STAMP) ## The tests of `make check`; one of them: make test ARGS='tests/test_packaging.py -k lock'
	$(PYTEST) -m "not long" $(ARGS)

.PHONY: test-long
test-long: $(STAMP) ## All tests, with many more random examples: takes minutes
	P2PD_HYPOTHESIS=full $(PYTEST) --timeout 1800 $(ARGS)

# TEXT and FILE reach the demo as they were typed: `value` keeps make from expanding a $ in them,
# the environment keeps the shell from reading them, and `unexport` keeps make from expanding them on the way.
unexport TEXT FILE
.PHONY: demo
demo: export DEMO_TEXT = $(value TEXT)
demo: export DEMO_FILE = $(value FILE)
demo: $(STAMP) ## Show it all working on this machine; with words of yours: make demo TEXT='...' FILE=...
	@$(BYTECODE)
	@$(PYTHON) tests/demo/run.py

.PHONY: bench
bench: $(STAMP) ## How fast it is here and now, each figure beside its goal; some: make bench ARGS='--quick text get'
	@$(BYTECODE)
	$(PYTHON) -m bench $(ARGS)

.PHONY: nat
nat: $(STAMP) ## As root: how people behind NATs and firewalls reach each other; make nat ARGS='--cell symmetric,public'
	@$(BYTECODE)
	@$(PYTHON) -m tests.nat $(ARGS)

.PHONY: secrecy
secrecy: $(STAMP) ## Try every promise of secrecy at full size, a line each; some: make secrecy ARGS='fuzz --count 10000'
	@$(BYTECODE)
	@PYTHONPATH=cli $(PYTHON) -m tests.secrecy $(ARGS)

SEEDS ?= 1000
.PHONY: sim
sim: $(STAMP) ## Play every scenario in virtual time, storms with many seeds: make sim SEEDS=5000
	@$(PYTHON) -m p2pd.sim.menu --seeds $(SEEDS)

.PHONY: sim-mutants
sim-mutants: $(STAMP) ## Switch off one rule of the code after the other: does the simulator notice?
	@$(PYTHON) -m p2pd.sim.menu --mutants --seeds 100

.PHONY: lock
lock: $(STAMP) ## Rebuild the lock files; newest versions: make lock LOCK_ARGS=--upgrade
	$(PYTHON) -m pip install --quiet $(UV)
	$(call compile,requirements.lock)
	$(call compile,requirements-dev.lock,--extra dev --constraint requirements.lock)

# Universal: one file for every platform, with the hashes of all of a release's files.
# Neither the index's name nor a path of this machine goes into the file.
define compile
$(PYTHON) -m uv --no-config pip compile pyproject.toml --output-file $(1) $(2) $(LOCK_ARGS) --quiet \
	--universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header
endef

.PHONY: venv
venv: $(STAMP) ## Make .venv, or make it anew where a lock file or pyproject.toml has changed

# The stamp is written last, so a half-made .venv is never taken for a whole one.
$(STAMP): requirements-dev.lock pyproject.toml
	@test -n "$(BASE_PYTHON)" || { echo "No Python 3.11 or newer was found: install one, or say BASE_PYTHON=..." >&2; exit 1; }
	"$(BASE_PYTHON)" -m venv --clear .venv
	$(PYTHON) -m pip install --quiet --require-hashes --requirement requirements-dev.lock
	$(PYTHON) -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.PHONY: clean
clean: ## Remove .venv, caches and everything else that was made from the sources
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
