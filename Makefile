.DEFAULT_GOAL := help
.PHONY: help install constraints serve check test format bench-training bench-serving wrk screenshots chromium docker clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERVICE_STAMP := $(VENV)/.installed-service
CONSTRAINTS ?= constraints.txt
PEER_STAMPS := .peers/litserve/.installed .peers/bentoml/.installed .peers/ray/.installed

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv and install everything; nothing to do while pyproject.toml and constraints.txt stay the same

$(STAMP): EXTRAS := train,openvino,explain,export,tensorboard,test
$(SERVICE_STAMP): EXTRAS := openvino,explain
$(STAMP) $(SERVICE_STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/pip || $(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 15) else "Glimpse needs Python 3.11 to 3.14, this is " + sys.version)'
	@echo "Installing into $(VENV): PyTorch alone is several GB, so the first time takes minutes."
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint $(CONSTRAINTS) --editable '.[$(EXTRAS)]'
	touch $@ $(SERVICE_STAMP)

# What PyTorch asks for by exact version, its CUDA, is not repeated: other processors have other parts of it.
constraints: ## install the newest versions into a new .venv and write them into constraints.txt, to be tested
	rm -rf $(VENV)
	$(MAKE) install CONSTRAINTS=/dev/null
	{ sed '/^[^#]/d' constraints.txt; $(BIN)/pip freeze --exclude-editable | grep -vE '^(nvidia|cuda)-|^triton=='; } > constraints.new
	mv constraints.new constraints.txt
	touch $(STAMP) $(SERVICE_STAMP)

serve: $(SERVICE_STAMP) ## install what the service needs, and serve the shipped checkpoint on http://127.0.0.1:8000
	$(BIN)/python -m app

check: install ## ruff, its formatter, and the strict type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: install ## the whole test suite; with Chromium (apt-get install chromium) the pages, too
	$(BIN)/pytest

format: install ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-training: install ## time the steps of each recipe; ARGS="--full --data cifar10" trains fast and tutorial
	$(BIN)/python -m benchmarks.training $(ARGS)

bench-serving: wrk install $(PEER_STAMPS) ## Glimpse beside LitServe, BentoML and Ray Serve; ARGS=--overload and others
	$(BIN)/python -m benchmarks.serving $(ARGS)

wrk:
	@command -v wrk > /dev/null || { echo "wrk is missing; it drives the servers. Install it with: apt-get install wrk" >&2; exit 1; }

screenshots: chromium install ## take the pictures of the pages in docs/screenshots anew
	$(BIN)/python -m docs.take_screenshots

chromium:
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } > /dev/null || { echo "Chromium is missing; it opens the pages. Install it with: apt-get install chromium" >&2; exit 1; }

# The versions that the settings in benchmarks/peers/ were tried with. PyTorch, several GB, is not installed again:
# a .pth file puts the packages of .venv behind the peer's own on its path.
.peers/litserve/.installed: PEER := litserve==0.2.19
.peers/bentoml/.installed: PEER := bentoml==1.4.39
.peers/ray/.installed: PEER := ray[serve]==2.60.0
SITE_PACKAGES := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

$(PEER_STAMPS): | $(STAMP)
	@echo "Installing $(PEER) into $(@D)."
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/pip install --disable-pip-version-check --quiet '$(PEER)'
	$(BIN)/python $(SITE_PACKAGES) > "$$($(@D)/bin/python $(SITE_PACKAGES))/glimpse_shared.pth"
	touch $@

docker: ## build the service's image
	docker build --tag glimpse .

clean: ## remove .venv, the peers and caches
	rm -rf $(VENV) .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
