# What people type. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST_ARGS ?=
# most tests wait for a browser or a process; a file's tests stay together, for what they share
SIDE_BY_SIDE := -n 2 --dist loadfile
SQUAD ?=
DATA ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help app test test-quick coverage lint format train results bench soak screenshots clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

app: $(VENV)/.installed ## install what is needed and serve the page at http://127.0.0.1:7860 (GRADIO_SERVER_PORT moves it)
	@$(BIN)/python app.py

test: $(VENV)/.installed-dev ## install what is needed and run the whole test suite, in a browser too where there is one
	@CHROMIUM="$$(.ci/chromium $(BIN)/python)" $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

test-quick: $(VENV)/.installed-dev ## the tests that take no browser, no training and no process of their own: under a minute
	@$(BIN)/python -m pytest -m "not browser and not slow" $(SIDE_BY_SIDE) $(PYTEST_ARGS)

coverage: $(VENV)/.installed-dev ## which lines and branches of qa_compare/ no test without a browser reaches; 90 % at least
	@$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m "not browser" --cov --cov-report=term $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev ## check style, format, types and which module imports which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev ## put the code into the one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

train: $(VENV)/.installed ## train every adapter, one after another, from the files in DATA= (train/README.md)
	@train/queue.sh "$(DATA)"

results: $(VENV)/.installed ## write the tables of README.md and docs/results.md anew from adapters/*/*/metrics.json
	@$(BIN)/python -m qa_compare results

bench: $(VENV)/.installed ## measure inference anew against its peers, into benchmarks/*.json (SQUAD=dev-v1.1.json, else the hub's)
	@for name in one_question users over_http long_passage footprint start; do $(BIN)/python -m benchmarks.$$name || exit 1; done
	@$(BIN)/python -m benchmarks.many_questions $(if $(SQUAD),--squad $(SQUAD))

soak: $(VENV)/.installed-dev ## 200 visitors, 25 kills and 3 minutes of fuzzing: twenty minutes at most, loopback only
	@QA_COMPARE_KILLS=25 $(BIN)/python -m pytest -q tests/train/test_kills.py
	@$(BIN)/python -m benchmarks.soak
	@$(PIP) install --quiet atheris || echo "atheris cannot be installed here: Hypothesis makes the cases" >&2
	@$(BIN)/python -m benchmarks.fuzz

screenshots: $(VENV)/.installed-dev ## take the pictures of the page anew (README.md, docs/page.md)
	@CHROMIUM="$$(.ci/chromium $(BIN)/python)" $(BIN)/python -m docs.screenshots

clean: ## remove the virtual environment and the tools' caches; runs/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*

# The stamps are newer than the requirements that were installed. An environment without them is used as it is.
$(VENV)/.installed: requirements.txt | $(BIN)/python
	@echo "installing requirements.txt into $(VENV) (the first time takes some minutes)"
	@$(PIP) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(PIP) install --quiet --upgrade pip
	@$(PIP) install --quiet -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "installing requirements-dev.txt into $(VENV)"
	@$(PIP) install --quiet -r requirements-dev.txt
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON) here: install Python 3.11 or newer, or name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1), and 3.11 or newer is needed: name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "make: $(PYTHON) cannot make virtual environments (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
