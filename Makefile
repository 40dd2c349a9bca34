# `make help` lists the targets. Everything but `help` and `clean` first makes .venv from the hashed lock file.
# With .venv active, DVC's own commands run the pipeline: docs/how-to/compare.md.
PYTHON ?= python3
BIN := .venv/bin
SET ?=
BENCH ?=
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup repro experiment demo test test-fast drill bench check ui lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## .venv with the locked dependencies, and a local git identity where there is none
	@git config user.email >/dev/null || { git rev-parse --git-dir >/dev/null 2>&1 \
	  && git config --local user.name transferlab && git config --local user.email transferlab@localhost; } || true

# Bytecode is compiled here once: where PYTHONDONTWRITEBYTECODE is set, every process would do it anew
# (benchmarks/results/building.md).
.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'make: expected Python 3.11 or newer, got' "$$($(PYTHON) --version)."  'Set PYTHON=python3.12 or the like.'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9 2>/dev/null; then \
	  $(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock \
	  && $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

repro: setup ## the main job: compose conf/ into params.yaml, then dvc repro
	@transferlab compose
	dvc repro

experiment: setup ## one experiment: make experiment SET="strategy=frozen backbone=mobilenet_v2"
	@transferlab preview $(SET)
	dvc exp run $(foreach word,$(SET),-S '$(word)')

demo: setup ## the whole pipeline without a network, on drawn textures, in a copy of the checkout
	@transferlab demo

test: setup ## all tests but the drills
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not drill'

test-fast: setup ## the tests that take seconds
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not slow and not drill'

drill: setup ## processes killed, disks filled, seconds waited: what takes too long for every day
	python -m pytest -m drill

bench: setup ## the tutorial's loop against the engine: make bench BENCH="--backbone resnet18 --weights none"
	python benchmarks/bench.py $(BENCH)

check: setup ## style, types, and params.yaml against conf/
	ruff check
	ruff format --check
	mypy
	transferlab check

ui: setup ## MLflow's pages for the local store, at http://127.0.0.1:5000
	@transferlab ui

lock: setup ## compile requirements.lock anew from pyproject.toml
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet --output-file requirements.lock

clean: ## remove caches that are safe to delete; data, models and results stay
	rm -rf .cache/transferlab .demo .pytest_cache .mypy_cache .ruff_cache
