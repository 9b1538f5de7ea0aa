# The commands of this project. `make` lists them; everything is installed into .venv and nowhere else.

PYTHON ?= python3
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.installed
BENCH ?= retrieval importance latency
COVERAGE_FLOOR ?= 95
# Test modules are shared out among as many processes as there are cores; WORKERS=0 runs them in one.
WORKERS ?= auto
# In CI the tests measure their coverage; at a desk they run at full speed.
COVERAGE := $(if $(CI),--cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup demo test lint check bench docs dashboards constraints clean
.PHONY: lint-style lint-format lint-types lint-imports lint-docs lint-dashboards

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Options: PYTHON=python3.12   ARGS='options of the command'   DEMO_INPUT=file.json"

setup: $(DONE)/package $(DONE)/test $(DONE)/check ## Install everything into .venv: package, tests, checks

demo: $(DONE)/package ## Watch a memory live: add, search, forget, erase
	@$(BIN)/tiered-memory demo $(if $(DEMO_INPUT),--input '$(DEMO_INPUT)') $(ARGS)

test: $(DONE)/package $(DONE)/test $(DONE)/check ## Run the tests
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(COVERAGE) $(ARGS)

lint: lint-style lint-format lint-types lint-imports lint-docs lint-dashboards ## Run every check that is not a test

lint-style lint-format lint-types lint-imports lint-docs lint-dashboards: $(DONE)/package $(DONE)/test $(DONE)/check
lint-style:
	$(BIN)/ruff check
lint-format:
	$(BIN)/ruff format --check
lint-types:
	$(BIN)/mypy
lint-imports:
	$(BIN)/lint-imports --no-cache
lint-docs:
	$(BIN)/python scripts/generate_docs.py --check
lint-dashboards:
	$(BIN)/python scripts/generate_dashboards.py --check

check: lint ## Run what CI runs: all checks, then the tests with coverage
	@$(MAKE) --no-print-directory test CI=true

bench: $(DONE)/package ## Run benchmarks: make bench BENCH=retrieval ARGS='--data FILE'
	@set -e; for name in $(BENCH); do $(BIN)/python -m benchmarks $$name $(ARGS); done

docs: $(DONE)/package ## Write the generated parts of the documentation anew
	@$(BIN)/python scripts/generate_docs.py

dashboards: $(DONE)/package $(DONE)/check ## Write the Grafana dashboards anew
	@$(BIN)/python scripts/generate_dashboards.py

constraints: ## Pin the newest allowed versions, with hashes (needs uv)
	@command -v $(UV) >/dev/null || { echo "make constraints needs uv: pip install uv, or UV=path"; exit 1; }
	@UV='$(UV)' sh scripts/pin.sh

clean: ## Remove .venv and everything that was made
	@rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@sh scripts/venv.sh '$(PYTHON)' '$(VENV)'

$(DONE)/core: requirements/core.txt | $(BIN)/python
	@$(BIN)/python scripts/install.py core
	@mkdir -p $(DONE) && touch $@

$(DONE)/package: pyproject.toml $(DONE)/core
	@$(BIN)/python scripts/install.py --package
	@touch $@

$(DONE)/test: requirements/test.txt $(DONE)/core
	@$(BIN)/python scripts/install.py test
	@touch $@

$(DONE)/check: requirements/check.txt $(DONE)/core
	@$(BIN)/python scripts/install.py check
	@touch $@
