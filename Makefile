# Each target sets up what it needs in .venv; all of them can be run again and again.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-extras lint format docs bench builtin wheel-check clean

demo: .venv/base.stamp  ## label examples/support.csv with the built-in model, and score the answers
	$(BIN)/rung classify examples/support.csv --labels examples/support-labels.csv --backbone builtin --out examples/support.out.csv --force
	$(BIN)/python examples/score.py examples/support.out.csv

test: .venv/dev.stamp  ## all tests, torch parts included, on all cores
	$(PYTEST) -n auto --dist worksteal

test-extras: .venv/dev.stamp  ## the tests that `make test` skips for want of Ray, an object store and llama.cpp, which take minutes to install
	$(PIP) -e '.[store,llama]'
	$(PYTEST) tests/runs/test_distributed.py tests/backbones/test_llama_server.py

lint: .venv/dev.stamp  ## style, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/dev.stamp  ## write the README's tables and the help pages anew from results and code
	$(BIN)/python tools/write_docs.py

bench: .venv/dev.stamp  ## measure again; needs the data sets in ../shared/data
	for script in names builtin ladder stress shots reject mixing scoring scale distill encode files pretrain multitask export threads; do $(BIN)/python benchmarks/$$script.py || exit 1; done

builtin: .venv/dev.stamp  ## make the built-in model again
	$(BIN)/python -m rung.training.students.builtin

wheel-check: .venv/dev.stamp  ## the built wheel installs and classifies in clean environments
	$(BIN)/python tests/wheel_check.py

clean:
	rm -rf .venv .venvs dist build .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "rung needs Python 3.11 or newer, and none was found."; echo "  Install it, or name it:  make demo PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/base.stamp: .venv/bin/python pyproject.toml
	$(PIP) -e .
	touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev,all]'
	touch $@ .venv/base.stamp
