# The front door. `make run` and `make test` need nothing but Python 3.11 or newer; everything goes into .venv.
#
#   make run                    server, forwarder and tracker on this machine (ARGS="--port 0 --data DIR …")
#   make test                   all tests (ARGS="-k name")
#   make check                  format, lint, types, import directions
#   make bench                  benchmarks (ARGS="scan --tree /usr", ARGS="ingestion --rounds 1"; ARGS=--help)
#   make soak                   long fault injection

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

# The portal: built whenever one of its sources is newer.
PORTAL := src/whatchanged/server/portal/index.html
PORTAL_SOURCES := packaging/build-portal $(wildcard portal/*.*) $(shell find portal/src -type f ! -name schema.d.ts)

.PHONY: run test check bench soak clean

run: $(VENV)/.run $(PORTAL)
	exec $(BIN)/whatchanged up $(ARGS)

test: $(VENV)/.dev $(PORTAL)
	tests/system-packages
	packaging/build-portal $(BIN)/python test
	tests/vendor-parser $(BIN)/python
	tests/azure-monitor-query $(BIN)/python
	tests/windows-python $(BIN)/python
	tests/run $(BIN)/python $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32
	$(BIN)/lint-imports
	packaging/build-portal $(BIN)/python check

bench: $(VENV)/.dev
	benchmarks/system-packages
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak $(ARGS)

clean:
	rm -rf $(VENV) portal/node_modules $(dir $(PORTAL)) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A stamp file a step: the second run begins at once.
$(VENV)/.pip:
	packaging/make-venv $(PYTHON) $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

# Editable: the program in the environment is the program in this folder.
$(VENV)/.run: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[server]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run pyproject.toml
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(PORTAL): $(PORTAL_SOURCES) | $(VENV)/.pip
	packaging/build-portal $(BIN)/python
