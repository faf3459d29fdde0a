# make demo    the main job on a simulated session, end to end, with a report
# make test    everything that is checked: style, types, floors, all tests, kernels compiled and uncompiled
# make check   the edit-test loop: style, types, floors, and for a minute the tests that a change can break, nearest first
# make setup   .venv with all that the others need (they call it themselves)
# make bench   the figures, beside the peers that install

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: setup demo test check near bench style types floors services tests uncompiled fuzz clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml scripts/setup
	@PYTHON=$(PYTHON) VENV=$(VENV) sh scripts/setup
	@touch $@

demo: setup
	@$(BIN)/tapebook demo --out demo

test: style types floors tests uncompiled

check: style floors
	@$(MAKE) --no-print-directory -j2 types near

near: setup
	@$(BIN)/python -m pytest -q -n $(WORKERS) -p tests.budget --seconds 60 -m "not slow"

style: setup
	@$(BIN)/ruff format --check --quiet || { echo "run: $(BIN)/ruff format"; exit 1; }
	@$(BIN)/ruff check --quiet

types: setup
	@$(BIN)/mypy

floors: setup
	@$(BIN)/lint-imports --no-logo >$(VENV)/floors.txt 2>&1 || { cat $(VENV)/floors.txt; exit 1; }
	@tail -n 2 $(VENV)/floors.txt

services:
	@sh scripts/services

tests: setup services
	@$(BIN)/pytest -q -n $(WORKERS)

# The same kernels as plain Python on the inputs that are small enough: what coverage counts is what ran.
uncompiled: setup
	@NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest -q -m uncompiled
	@$(BIN)/coverage report --include='src/tapebook/kernels/*' --skip-covered

# Damaged frames against every parser of the wire, guided by coverage: minutes, not part of make test.
fuzz: setup
	@PYTHON=$(BIN)/python sh scripts/fuzz

bench: setup
	@$(BIN)/pip install --quiet --group peers || echo "some peers did not install: they are left out"
	@$(BIN)/tapebook bench --to bench.json

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* demo bench.json
