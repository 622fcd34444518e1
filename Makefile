.DEFAULT_GOAL := help
.PHONY: help install serve check test format bench-training docker clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv and install everything; nothing to do while pyproject.toml stays the same

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Glimpse needs Python 3.11 or newer, this is " + sys.version)'
	@echo "Installing into $(VENV): PyTorch alone is several GB, so the first time takes minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --editable '.[train,test]'
	touch $@

serve: install ## serve the shipped checkpoint on http://127.0.0.1:8000
	$(BIN)/python -m app

check: install ## ruff, its formatter, and the strict type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: install ## the whole test suite
	$(BIN)/pytest

format: install ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-training: install ## time a training step and the share of its data work
	$(BIN)/python -m benchmarks.training

docker: ## build the service's image
	docker build --tag glimpse .

clean: ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
