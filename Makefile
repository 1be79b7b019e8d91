# The commands of the README. `make help` lists them.
# Set-up lives in .venv and is repeated only when what it depends on has changed.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
UV := $(or $(shell command -v uv 2>/dev/null),$(VENV)/bin/uv)
BACKEND := $(if $(shell command -v cargo 2>/dev/null),rust,reference)
RUST_SOURCES := $(shell find rust_kernels -name target -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print)
PACKAGE := $(shell find labkit -name '*.py' -o -name '*.pyi')
CHAPTERS := $(shell find notebooks -name .ipynb_checkpoints -prune -o \( -name '*.py' -o -name '*.ipynb' -o -name '*.yml' \) -print)
DATA := $(shell find data -type f)
BOOK := _config.yml _toc.yml $(shell find book -type f)
TESTS := $(shell find tests tools -name '*.py')
REPOSITORY := README.md Makefile environment.yml CONTRIBUTING.md CITATION.cff .gitignore $(shell find .ci .github -type f)

# Real recordings: a folder beside the clone is taken as the mirror if no other is named.
LABKIT_DATA_MIRROR ?= $(abspath $(wildcard ../shared/data))
export LABKIT_DATA_MIRROR
# One thread for BLAS and OpenMP: two runs on two cores must not fight over them.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export PATH := $(abspath $(VENV)/bin):$(PATH)

INSTALLED := $(VENV)/installed-$(BACKEND)
CHECKS := _build/checks
PYTEST := env -u MAKEFLAGS $(PY) -m pytest -q -p no:cacheprovider
# What takes minutes whichever backend there is: two halves for two cores, and once is enough.
WHOLE := book or browser or chapters or processes

.DEFAULT_GOAL := help
.PHONY: help install book serve test reference lab notebooks sweeps bench clean FORCE

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## Set up .venv with everything the other commands need

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@echo "== environment: .venv"
	@$(PYTHON) -m venv $(VENV)
	@test -x "$(UV)" || $(PY) -m pip install -q --disable-pip-version-check -c constraints.txt uv
	@touch $@

$(INSTALLED): $(VENV)/created pyproject.toml constraints.txt rust_kernels/labkit_build.py $(RUST_SOURCES)
	@echo "== packages and kernels: $(if $(filter rust,$(BACKEND)),building the Rust kernels,no Rust toolchain on the PATH; the NumPy reference serves every kernel)"
	@rm -f $(VENV)/installed-* $(if $(filter reference,$(BACKEND)),labkit/_kernels*.so)
	@$(UV) pip install -q --python $(PY) -c constraints.txt --build-constraints constraints.txt \
		--reinstall-package labkit -e '.[book,dask,dev]'
	@touch $@

book: $(INSTALLED) ## Run every chapter, build the book, print its path
	@$(PY) tools/book.py

serve: $(INSTALLED) ## Build the book and serve it on this machine
	@$(PY) tools/book.py --serve

test: $(addprefix $(CHECKS)/,lint rust whole python notebooks) ## Run every check
	@$(PY) tools/summary.py $(wildcard $(CHECKS)/rust.log) $(CHECKS)/python.xml $(CHECKS)/whole.xml \
		$(CHECKS)/notebooks.xml

# What a check depends on beyond files: rewritten only when it changes.
$(CHECKS)/setting: FORCE
	@mkdir -p $(CHECKS)
	@echo "$(BACKEND) $(LABKIT_DATA_MIRROR) $(LABKIT_BACKEND) $(CI)" > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(CHECKS)/lint: $(INSTALLED) $(PACKAGE) $(TESTS) $(CHAPTERS) $(RUST_SOURCES) $(CHECKS)/setting
	@echo "== formatting, lints, types of the kernels, pairs of notebooks"
	@ruff format --check .
	@ruff check .
	@$(PY) tools/chapters.py check
ifeq ($(BACKEND),rust)
	@cargo fmt --manifest-path rust_kernels/Cargo.toml --all --check
	@cargo clippy --manifest-path rust_kernels/Cargo.toml --locked --workspace --all-targets -q -- -D warnings
	@$(PY) -m mypy.stubtest labkit._kernels
endif
	@touch $@

$(CHECKS)/rust: $(INSTALLED) $(RUST_SOURCES)
ifeq ($(BACKEND),rust)
	@echo "== Rust tests"
	@cargo test --manifest-path rust_kernels/Cargo.toml --locked -q -p labkit-core > $@.log 2>&1 || { cat $@.log; exit 1; }
	@grep '^test result' $@.log
else
	@echo "== Rust tests: left out, no Rust toolchain on the PATH"
	@rm -f $@.log
endif
	@touch $@

$(CHECKS)/python: $(INSTALLED) $(PACKAGE) $(TESTS) $(CHAPTERS) $(DATA) $(BOOK) $(REPOSITORY) $(CHECKS)/setting
	@echo "== Python tests"
	@$(PYTEST) -m "not ($(WHOLE))" labkit tests --junitxml=$@.xml
	@touch $@

$(CHECKS)/whole: $(INSTALLED) $(PACKAGE) $(TESTS) $(CHAPTERS) $(DATA) $(BOOK) $(REPOSITORY) $(CHECKS)/setting
	@echo "== whole chapters, sweeps, built pages"
	@$(PYTEST) -m "$(WHOLE)" tests --junitxml=$@.xml
	@touch $@

$(CHECKS)/notebooks: $(INSTALLED) $(PACKAGE) $(CHAPTERS) $(DATA) $(CHECKS)/setting
	@echo "== stored outputs of the notebooks against a new run"
	@$(PYTEST) --nbval-lax notebooks/*.ipynb --junitxml=$@.xml
	@touch $@

reference: $(INSTALLED) ## Run the Python tests on the NumPy reference instead of the Rust kernels
	@echo "== the NumPy reference under the same tests"
	@LABKIT_BACKEND=reference $(PYTEST) -m "not ($(WHOLE))" labkit tests \
		--junitxml=$(CHECKS)/reference.xml

lab: $(INSTALLED) ## Open the chapters in JupyterLab; saving writes the .py and the .ipynb
	@$(VENV)/bin/jupyter lab --notebook-dir=notebooks

notebooks: $(INSTALLED) ## Make each .ipynb from its .py and store the checked outputs
	@$(PY) tools/chapters.py store

sweeps: $(INSTALLED) ## Run the sweeps that the book draws; only what has changed is run
	@$(PY) tools/sweeps.py

bench: $(INSTALLED) ## Measure the kernels against their peers, as ratios
	@$(PY) tools/bench.py

clean: ## Remove what was built; .venv and finished runs in runs/ stay
	rm -rf _build build labkit.egg-info rust_kernels/target .pytest_cache .hypothesis .mypy_cache .ruff_cache
