# Two commands for people: `make demo` and `make test`. The rest is for those who work on it.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
.PHONY: help setup demo test lint types bench schema diagrams lock clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## virtual environment with the locked packages, and Debian's libzbar0 where it is missing

$(STAMP): locks/dev.txt pyproject.toml
	@./tools/libzbar0
	@test -x $(PY) || python3 -m venv $(VENV)
	$(PY) -m pip install -q --require-hashes -r locks/dev.txt
	$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: setup ## simulator and daemon play one rental, step by step; ONCE=1 ends after it
	@$(PY) -m hw_sim.demo $(if $(ONCE),--once)

test: setup ## unit, contract, scenario and short crash tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest $(PYTEST)

bench: setup ## figures beside their floors, as a table and as build/bench.json
	@mkdir -p build
	$(PY) -m tests.perf.bench

schema: setup ## JSON Schema of site files
	$(PY) -m vendingd.site.schema > config/site.schema.json

diagrams: setup ## docs/state-machines.md from the decision tables
	$(PY) -m fsm.diagrams

lock: ## lock files anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra lgpio --extra v4l2 --universal --generate-hashes --no-header -q -o locks/daemon.txt
	uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-header -q -o locks/dev.txt

clean: ## build products and the virtual environment
	rm -rf build run $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
