# `make help` lists the targets. Everything but `help` and `clean` first makes .venv from the hashed lock file.
# With .venv active, DVC's own commands run the pipeline: docs/how-to/compare.md.
PYTHON ?= python3
BIN := .venv/bin
SET ?=
BENCH ?=
PORT ?= 5000
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup own-venv repro experiment demo test test-fast drill bench check audit ui doctor lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## .venv with the locked dependencies, and a local git identity where there is none
	@git config user.email >/dev/null || { git rev-parse --git-dir >/dev/null 2>&1 \
	  && git config --local user.name transferlab && git config --local user.email transferlab@localhost; } || true

# Bytecode is compiled here once: where PYTHONDONTWRITEBYTECODE is set, every process would do it anew
# (benchmarks/results/building.md).
.venv/ready: requirements.lock pyproject.toml | own-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'make: expected Python 3.11 or newer, got' "$$($(PYTHON) --version)."  'Set PYTHON=python3.12 or the like.'; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv \
	  || { echo 'make: .venv could not be made, see above. Then run: rm -rf .venv && make setup'; exit 1; }
	@echo 'make: installing the locked packages into .venv (about 5.5 GB on Linux) ...'
	@while sleep 20 >/dev/null 2>&1 && kill -0 $$$$ 2>/dev/null; do echo 'make: still installing ...'; done & \
	trap "kill $$!" EXIT; trap 'exit 1' HUP INT TERM; \
	if $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9 2>/dev/null; then \
	  $(BIN)/uv pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock \
	  && $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

# Programs of a .venv name its folder: moved they are not found, and in a copied checkout they are the original's.
own-venv:
	@! test -f $(BIN)/dvc || head -n 3 $(BIN)/dvc | grep -qF "$$(pwd -P)/$(BIN)/python" \
	  || { echo "make: .venv was made for another folder than $$(pwd -P). Run: rm -rf .venv && make setup"; exit 1; }

repro: setup ## the main job: settle params.yaml against conf/, then dvc repro
	@transferlab repro

experiment: setup ## one experiment: make experiment SET="strategy=frozen backbone=mobilenet_v2"
	@transferlab experiment $(SET)

demo: setup ## the whole pipeline without a network, on drawn textures, in a copy of the checkout
	@transferlab demo

test: setup ## all tests but the drills
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not drill'

test-fast: setup ## the tests that take seconds
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not slow and not drill'

drill: setup ## processes killed, disks filled, seconds waited: what takes too long for every day
	python -m pytest -m drill

bench: setup ## the tutorial's loop against the engine, on photographs and 3000 drawn images: make bench BENCH="--backbone resnet18 --weights none"
	python benchmarks/bench.py $(BENCH)
	python benchmarks/bench.py $(BENCH) --drawn 3000 --loops frozen --ladder

check: setup ## style, types, and params.yaml against conf/
	ruff check
	ruff format --check
	mypy
	transferlab check

ui: setup ## MLflow's pages for the local store, at http://127.0.0.1:5000, or make ui PORT=5001
	@transferlab ui --port $(PORT)

doctor: setup ## what is wrong with this checkout, and the command that mends it
	@transferlab doctor

audit: setup ## known vulnerabilities of the locked dependencies; asks a database on the internet
	@mkdir -p .cache
	@uvx --quiet pip-audit==2.9.0 --requirement requirements.lock --disable-pip --require-hashes --progress-spinner off \
	  >.cache/audit.txt 2>&1; status=$$?; missed=$$(grep -c 'could not be audited' .cache/audit.txt); \
	if grep '^Found' .cache/audit.txt; then cat .cache/audit.txt; exit 1; fi; \
	if [ $$status -ne 0 ] || [ $$missed -ne 0 ]; then \
	  echo "make audit: no answer for $$missed packages or more (.cache/audit.txt). It needs the package index and its database."; exit 1; fi; \
	grep '^No known' .cache/audit.txt

lock: setup ## compile requirements.lock anew from pyproject.toml
	uv pip compile pyproject.toml --extra dev --extra export --extra ray --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet --output-file requirements.lock

clean: ## remove caches that are safe to delete; data, models and results stay
	rm -rf .cache/transferlab .demo .pytest_cache .mypy_cache .ruff_cache
