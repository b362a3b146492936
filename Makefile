# `make help` lists every command. All of them make what they need first; a second run does only what changed.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 0
HOST ?= 127.0.0.1
STORE ?=
OWNER ?=
WORKERS ?= 1
DATA ?= $(if $(STORE),var/shop-server,var/shop)
JOBS ?= 2
TESTS ?= tests
BENCH ?=

# What the compiled core is made from; it is built again when one of these is newer.
CORE := $(shell find src -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -path '*/kernels/*.[ch]')
STUBBED := $(subst /,.,$(patsubst %/__init__,%,$(patsubst src/%.pyi,%,$(shell find src -name '*.pyi' | sort))))
LINTED := setup.py src tools firmware_sim tests benchmarks

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo "  settings: PORT=8080 HOST=0.0.0.0 DATA=/path/of/a/shop STORE=postgres WORKERS=2 PYTHON=python3.12 TESTS=tests/desk BENCH=--quick"

# Rooms whose suites open shops (tests/shops.py), and those of their files that `make test` runs on PostgreSQL, too.
SHOPS := $(addprefix tests/,cli clearing coupons desk http imports jobs laws media members messages plans replay reports whatif)
ON_SERVER := $(addsuffix .py,$(addprefix tests/,desk/test_once desk/test_money desk/test_partitions desk/test_pin laws/test_documents \
	messages/test_courier media/test_registry clearing/test_sequences members/test_suspension http/test_money))

# ---------------------------------------------------------------- install and build
$(VENV)/.run-installed: requirements/run.lock tools/install.sh
	@tools/install.sh $(VENV) requirements/run.lock
	@touch $@

$(VENV)/.dev-installed: requirements/dev.lock $(VENV)/.run-installed
	@tools/install.sh $(VENV) requirements/dev.lock
	@touch $@

$(VENV)/.pcsc-installed: requirements/pcsc.lock requirements/pcsc-build.txt $(VENV)/.run-installed
	@tools/install.sh $(VENV) requirements/pcsc.lock
	@! $(BIN)/python -c 'import smartcard.scard' 2>/dev/null || touch $@

$(VENV)/.fuzz-installed: requirements/fuzz.lock $(VENV)/.dev-installed
	@tools/install.sh $(VENV) requirements/fuzz.lock 2>/dev/null || echo "continuing without atheris: no build for this Python"
	@! $(BIN)/python -c 'import atheris' 2>/dev/null || touch $@

$(VENV)/.built: $(CORE) setup.py $(VENV)/.run-installed
	@echo "compiling the core (a minute or two the first time)"
	@$(BIN)/python setup.py -q build_ext --inplace -j $(JOBS)
	@touch $@

$(VENV)/.linked: pyproject.toml setup.py $(VENV)/.built
	@export CARDCORE_LINK_ONLY=1; if [ -x $(BIN)/pip ]; then $(BIN)/python -m pip install --quiet --quiet --no-deps --no-build-isolation --editable .; \
	else uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; fi
	@touch $@

.PHONY: build dev debug
build: $(VENV)/.built $(VENV)/.linked $(VENV)/.pcsc-installed ## make .venv, install the locked dependencies, compile the core

dev: build $(VENV)/.dev-installed

debug: dev ## compile the core with bounds checks and line tracing (CARDCORE_DEBUG=1)
	CARDCORE_DEBUG=1 $(BIN)/python setup.py -q build_ext --inplace --force -j $(JOBS)

# ---------------------------------------------------------------- run
.PHONY: run
run: build ## open a demo shop: API on a free port (or PORT=), prints address, credentials and a first purchase
	@$(if $(filter postgres,$(STORE)),tools/postgres.sh)
	@test -e "$(DATA)" || $(BIN)/cardcore init --data "$(DATA)" --demo \
		$(if $(STORE),--store "$(if $(filter postgres,$(STORE)),local-postgres,$(STORE))") $(if $(OWNER),--owner "$(OWNER)")
	@exec $(BIN)/cardcore serve --data "$(DATA)" --host "$(HOST)" --port "$(PORT)" --workers "$(WORKERS)"

# ---------------------------------------------------------------- check
.PHONY: lint types stubs test test-long bench
lint: dev ## ruff and cython-lint
	$(BIN)/ruff check $(wildcard $(LINTED))
	PATH="$(BIN):$$PATH" $(BIN)/cython-lint src

types: dev ## mypy
	$(BIN)/mypy $(wildcard src firmware_sim tests benchmarks)

stubs: dev ## the .pyi of each compiled module against the module
	PYTHONPATH=src $(BIN)/python -m mypy.stubtest --ignore-missing-stub --ignore-disjoint-bases --mypy-config-file pyproject.toml $(STUBBED)

test: lint types stubs ## all that CI runs: lint, types, stubs and every suite
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(TESTS)
	$(if $(filter tests,$(TESTS)),CARDCORE_TEST_STORE=postgres $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ON_SERVER))

test-long: lint types stubs $(VENV)/.fuzz-installed ## the same with the random and crash suites multiplied, the suites with a shop on either store
	CARDCORE_LONG=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(TESTS)
	$(if $(filter tests,$(TESTS)),CARDCORE_TEST_STORE=postgres $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(SHOPS))

bench: dev ## measure against the baselines of docs/performance.md; JSON in benchmarks/results/
	$(BIN)/python -m benchmarks $(BENCH)

# ---------------------------------------------------------------- housekeeping
.PHONY: docs picture dist lock clean distclean
docs: dev ## write docs/reference.md from the program
	PYTHONPATH=. $(BIN)/python tools/reference.py

dist: dev ## wheel and source archive in dist/
	$(BIN)/python -m build --outdir dist .

picture: dev ## draw the picture of README.md from a real session
	$(BIN)/python tools/picture.py

lock: dev ## resolve requirements/*.lock again (needs uv)
	tools/lock.sh

clean: ## remove what was built; keeps .venv and data
	rm -rf build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks $(VENV)/.built
	find src -name '*.so' -delete
	for pyx in $$(find src -name '*.pyx'); do rm -f "$${pyx%.pyx}.c" "$${pyx%.pyx}.html"; done

distclean: clean ## remove .venv too
	rm -rf $(VENV)
