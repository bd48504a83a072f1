# Needs Python 3.10 to 3.13, git and make; everything else is set up in $(VENV) on first use.
#   make PYTHON=python3.12 test      choose the interpreter
#   make TORCH='torch>=2.6' demo     choose another torch (the pin is the version shd is tested with)
VENV ?= .venv
PYTHON ?=
TORCH ?= torch==2.13.0
JOBS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Runs again only when the declared dependencies change. A half-made environment has no stamp and is completed.
$(STAMP): setup.cfg pyproject.toml
	@set -e; python='$(PYTHON)'; \
	supported='import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'; \
	if [ -z "$$python" ]; then \
	  for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	    if $$candidate -c "$$supported" >/dev/null 2>&1; then python=$$candidate; break; fi; \
	  done; \
	fi; \
	if [ -z "$$python" ] || ! $$python -c "$$supported"; then \
	  echo "error: no usable Python 3.10 to 3.13 (with venv and ensurepip) found; install one or pass PYTHON=/path/to/python" >&2; \
	  exit 2; \
	fi; \
	if ! $(BIN)/python -c "$$supported" >/dev/null 2>&1; then $$python -m venv --clear $(VENV); fi; \
	echo "Installing shd and what it needs into $(VENV) (some minutes, the first time)"; \
	$(BIN)/python -m pip install --quiet '$(TORCH)' --editable '.[dev]'; \
	touch $@

demo: $(STAMP)  ## fit real human data and a phantom with known truth; pictures in demo/
	$(BIN)/shd demo --out demo --force
	@echo "to use shd in this terminal: . $(BIN)/activate"

# One thread a worker: small tensors gain nothing from more, and workers would fight over the cores.
test: $(STAMP)  ## run the tests
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)  ## list the benchmarks, or run those in NAMES="one two"
	$(BIN)/python -m benchmarks $(NAMES)

clean:  ## remove build outputs, caches and demo/ (the environment stays)
	rm -rf build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find shd tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
