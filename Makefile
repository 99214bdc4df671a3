# The two commands of a newcomer are `make demo` and `make test`; both do all set-up. The rest is for developers.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# pip's constraints also hold in the isolated environments that builds run in.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP_OPTIONS ?=

.PHONY: demo test test-command lint docs protos released install check-tools clean constraints

demo: $(VENV)/.demo
	$(BIN)/tailorbird demo $(DEMO_ARGS)

TEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.dev
	$(TEST) $(PYTEST_ARGS)

# For .ci/tests, which wants pytest's own exit code: make's is 2 whatever happened.
test-command:
	@echo $(TEST)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/released.binpb

protos: $(VENV)/.dev
	$(BIN)/python setup.py -q build_protos

# At a release: from now on `buf breaking` compares with these contracts.
released: $(VENV)/.dev
	$(BIN)/buf build --exclude-source-info -o protos/released.binpb

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

install: $(VENV)/.dev

check-tools:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python: got $$($(PYTHON) --version 2>&1), want 3.11 or newer. Name another with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "The module venv is missing. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@printf '#include <Python.h>\n#include <vector>\n' | $${CXX:-c++} -x c++ -fsyntax-only \
	  $$($(PYTHON) -c 'import sysconfig; print("-I" + sysconfig.get_path("include"))') - 2>/dev/null \
	  || { echo "A C++ compiler and Python's headers are needed: Annoy is built from source. On Debian or Ubuntu: apt-get install g++ python3-dev; on macOS: xcode-select --install"; exit 1; }

$(VENV)/bin/python: | check-tools
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml setup.py constraints.txt $(wildcard protos/tailorbird/*/v1/*.proto) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --editable '.[train,demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml setup.py constraints.txt $(wildcard protos/tailorbird/*/v1/*.proto) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --editable '.[train,demo,dev,bench]'
	@touch $@ $(VENV)/.demo

# After a deliberate change of versions: what is installed becomes what everybody gets.
constraints: $(VENV)/.dev
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' | sort -f > constraints.txt

clean:
	rm -rf $(VENV) build *.egg-info
	find protos -name '*_pb2*.py*' -delete
