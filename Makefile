# Two commands for people: `make demo` and `make test`. The rest is for those who work on it.
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
.PHONY: help setup demo test test-long test-systemd explore mutants explore-fsm bench schema diagrams lock install install-files clean

# Where `make install` puts things
PREFIX := /opt/vendingd
USRLOCAL := /usr/local

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
	$(PY) -m pytest -n 4 --dist worksteal $(PYTEST)

test-long: setup ## tests that take long: a kill at every label of the journal, the demo, noise on a bus
	VENDINGD_SWEEP=1 $(PY) -m pytest -n 2 --dist worksteal -m long --timeout 400

explore: setup ## whole machines in simulated time against the laws; SEEDS=200 machines; build/explore.json
	$(PY) -m tests.simulation.year explore --seeds $(or $(SEEDS),200)

mutants: setup ## plants defects, each of which the simulation must catch; SEEDS=40 at most for each
	$(PY) -m tests.simulation.year mutants --seeds $(or $(SEEDS),40)

explore-fsm: setup ## the state machines alone, random events, for as long as that takes
	VENDINGD_DEEP=1 $(PY) -m pytest tests/simulation/test_fsm_properties.py --timeout 3600

test-systemd: setup ## the service under a real systemd in a box (root, Debian; builds the box once)
	$(PY) -m pytest tests/systemd -m systemd

install: install-files ## as root: environment with the locked packages, units, udev rules; EXTRAS=1 adds faces and OSDP
	python3 -m venv $(PREFIX)
	$(PREFIX)/bin/python -m pip install -q --require-hashes -r locks/daemon$(if $(EXTRAS),-extras).txt
	rm -rf build/lib build/bdist.*
	$(PREFIX)/bin/python -m pip install -q --no-deps --no-build-isolation .
	install -d $(USRLOCAL)/bin
	ln -sf $(PREFIX)/bin/vendingctl $(USRLOCAL)/bin/vendingctl

install-files: ## what install puts beside the environment, under DESTDIR
	install -Dm644 systemd/vendingd.service $(DESTDIR)$(USRLOCAL)/lib/systemd/system/vendingd.service
	install -Dm644 systemd/vendingd.sysusers $(DESTDIR)$(USRLOCAL)/lib/sysusers.d/vendingd.conf
	install -Dm644 systemd/vendingd.tmpfiles $(DESTDIR)$(USRLOCAL)/lib/tmpfiles.d/vendingd.conf
	install -Dm644 systemd/60-vendingd.rules $(DESTDIR)$(USRLOCAL)/lib/udev/rules.d/60-vendingd.rules
	install -Dm644 -t $(DESTDIR)$(USRLOCAL)/share/vendingd config/*.toml config/site.schema.json
	install -Dm644 -t $(DESTDIR)$(USRLOCAL)/share/doc/vendingd README.md docs/*.md

bench: setup ## figures beside their floors, as a table and as build/bench.json
	@mkdir -p build
	$(PY) -m tests.perf.bench

bench-identity: setup ## codes read and faces told apart, as build/identity.json; CORPUS=DIR for pictures of your own
	$(PY) -m tests.perf.bench_identity $(if $(CORPUS),--corpus "$$CORPUS")

schema: setup ## JSON Schema of site files
	$(PY) -m vendingd.site.schema > config/site.schema.json

diagrams: setup ## docs/state-machines.md from the decision tables
	$(PY) -m fsm.diagrams

lock: ## lock files anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra lgpio --extra v4l2 --universal --generate-hashes --no-header -q -o locks/daemon.txt
	uv pip compile pyproject.toml --extra lgpio --extra v4l2 --extra face --extra osdp --universal --generate-hashes --no-header -q -o locks/daemon-extras.txt
	uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-header -q -o locks/dev.txt

clean: ## build products and the virtual environment
	rm -rf build run $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
