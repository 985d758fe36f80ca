# Each target does its own set-up; `make help` lists them.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 4566
ISOLATION ?= auto
WORKERS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export PIP_ROOT_USER_ACTION := ignore

.DELETE_ON_ERROR:
.PHONY: help run serve test test-long test-runtimes test-tools check bench format docs java-client dotnet-client clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

run: $(VENV)/.installed ## the example from nothing: an .xls put into a bucket comes out as .csv (ISOLATION=process where there is none)
	@$(BIN)/python examples/xls_to_csv/run.py --isolation $(ISOLATION)

serve: $(VENV)/.installed ## the server in the foreground, on port 4566 (PORT=...; ISOLATION=process where there is none)
	@exec $(BIN)/lambdad up --port $(PORT) --isolation $(ISOLATION)

test: $(VENV)/.installed-dev ## the whole suite, two files at a time, the long ones first (WORKERS=...; TESTS=... for a part)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

test-long: $(VENV)/.installed-dev ## the tests that take minutes or gigabytes, left out by `make test` (TESTS=... for a part)
	@$(BIN)/python -m pytest -m long --timeout 1800 $(TESTS)

test-runtimes: $(VENV)/.installed-dev ## install every language that registries offer, and hold all runtimes to the same cases
	@for runtime in $$($(BIN)/lambdad runtime list --cache-dir .cache/lambdad | awk '$$2 == "installable" {print $$1}'); do \
		$(BIN)/lambdad runtime list --cache-dir .cache/lambdad | grep -q "^$$runtime  *ready" \
		|| $(BIN)/lambdad runtime install --cache-dir .cache/lambdad $$runtime \
		|| echo "$$runtime could not be installed; its tests are skipped by name." >&2; done
	@RUNTIME_MATRIX=docs/reference/runtimes.md $(BIN)/python -m pytest -m "long or not long" tests/conformance/test_runtimes.py

test-tools: $(VENV)/.installed ## install what tests want: .NET and its SDK, and where root can Debian packages runc, crun, runsc, skopeo, strace, ruby, go, a JDK
	@$(BIN)/python -m lambdad.runtimes.dotnet.dll .cache/lambdad .cache/dotnet-sdk fetch \
		|| echo "The SDK of .NET could not be fetched; the tests that need it are skipped by name." >&2
	@if command -v apt-get >/dev/null && test "$$(id -u)" = 0; then \
		install="apt-get install --yes --no-install-recommends"; export DEBIAN_FRONTEND=noninteractive; \
		for p in runc crun runsc skopeo strace ruby go:golang-go javac:default-jdk-headless; do \
			command -v $${p%%:*} >/dev/null && continue; p=$${p##*:}; \
			$$install $$p >/dev/null 2>&1 || { apt-get update >/dev/null; $$install $$p >/dev/null; } \
			|| echo "$$p could not be installed; the tests that need it are skipped by name." >&2; done; \
	else echo "Not root on Debian: tests with OCI runtimes, skopeo, strace, Ruby, Go or javac that are not installed are skipped by name." >&2; fi

check: $(VENV)/.installed-dev ## format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.installed-dev ## measure the speeds of docs/reference/speed.md: some minutes, on an idle machine
	@$(BIN)/python -m bench

format: $(VENV)/.installed-dev ## let ruff write the format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.installed-dev ## write the generated pages of docs/reference again
	@$(BIN)/python -m lambdad.cli.reference docs/reference

java-client: $(VENV)/bin/python ## build the jar and libraries of the Java runtimes' client again; wants a JDK 17, gcc for x86-64 and arm64
	@PYTHONPATH=src $(BIN)/python -m lambdad.runtimes.java.jar
	@PYTHONPATH=src $(BIN)/python -m lambdad.runtimes.java.native_library

dotnet-client: $(VENV)/.installed ## build the DLL of the .NET runtimes' client again; fetches the SDK of .NET Core 2.1 from npm
	@$(BIN)/python -m lambdad.runtimes.dotnet.dll .cache/lambdad .cache/dotnet-sdk build

clean: ## remove the virtual environment and every cache, installed languages too
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "lambdad needs Python 3.11 or newer; none found on PATH (Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "lambdad needs Python 3.11 or newer; PYTHON=$(PYTHON) is not." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@test -w . || { echo "$(CURDIR) cannot be written to; make puts $(VENV) and .cache there." >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..." >&2
	@$(PYTHON) -m venv $(VENV)

NOT_INSTALLED = { echo "The packages of pyproject.toml could not be installed (above: why). They come from the package index that pip is configured for." >&2; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing lambdad ..." >&2
	@$(PIP) install -c constraints.txt -e '.[examples]' || $(NOT_INSTALLED)
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing lambdad and what its tests need ..." >&2
	@$(PIP) install -c constraints.txt -e '.[dev,examples]' || $(NOT_INSTALLED)
	@touch $@ $(VENV)/.installed
