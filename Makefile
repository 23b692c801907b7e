# Every target sets itself up: the first one that runs makes .venv and installs the tested versions into it.

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
INSTALLED := $(VENV)/.installed
# One thread a worker: two workers with a thread pool each fight over two cores and lose.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 WANDB_MODE=offline $(VENV)/bin/python -m pytest -n $(WORKERS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo paper stage bench test test-slow test-all check format docs clean

help: ## List the targets (this is what plain `make` does)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Unlearn the embedded demo, no download: about two minutes, then a page to open
	PYTHONUNBUFFERED=1 $(VENV)/bin/python train.py hydra.run.dir=outputs/demo overwrite=true
	@echo "Open outputs/demo/report.html"

# What the paper was done on. Elsewhere: make paper PAPER_INPUTS="model=local model.name_or_path=DIR paragraphs=files ..."
PAPER_INPUTS ?= model=gpt_neo_125m paragraphs=pile
PAPER_FOLDER ?= outputs/paper
PAPER_SWEEP ?= objective=unlearn_unbounded,edit mask=all,gradient,random paragraphs.forget_text=memorized,own

# What could not be done is said in the page; only with nothing to show does it stop.
paper: $(INSTALLED) ## Every figure of the paper and one page, on one GPU; again, it goes on where it stopped
	$(VENV)/bin/python localize.py hydra.run.dir=$(PAPER_FOLDER)/localization $(PAPER_INPUTS) || test -f $(PAPER_FOLDER)/localization/localization.json
	$(VENV)/bin/python train.py -m experiment=paper $(PAPER_SWEEP) hydra.sweep.dir=$(PAPER_FOLDER)/unlearning $(PAPER_INPUTS) || test -f $(PAPER_FOLDER)/unlearning/sweep.parquet
	$(VENV)/bin/python -m memunlearn.reporting --paper $(PAPER_FOLDER)

STAGE_SIZE ?= 30m
STAGE_FOLDER ?= outputs/stage-$(STAGE_SIZE)

stage: $(INSTALLED) ## A model that recites real text, for work beyond the demo: half an hour or more on two cores
	PYTHONUNBUFFERED=1 $(VENV)/bin/python -m benchmarks.stage --size $(STAGE_SIZE) --out $(STAGE_FOLDER)

BENCH_FOLDER ?= outputs/bench
# On a GPU: make bench BENCH="--device cuda --rows 16 --rounds 9", and with --precision bf16-mixed
BENCH ?=

bench: $(INSTALLED) ## What work costs beside what a user would do instead: ten minutes or more on two idle cores
	$(VENV)/bin/python -m benchmarks.speed --only scoring --out $(BENCH_FOLDER)/125m_scoring.json $(BENCH)
	$(VENV)/bin/python -m benchmarks.speed --rows 2 --rounds 2 --only step sweep --out $(BENCH_FOLDER)/125m_step.json $(BENCH)
	$(VENV)/bin/python -m benchmarks.speed --size 30m --only gradients growth --out $(BENCH_FOLDER)/30m.json $(BENCH)
	$(VENV)/bin/python -m benchmarks.speed --size demo --rows 16 --only kfac --out $(BENCH_FOLDER)/demo.json $(BENCH)
	$(VENV)/bin/python -m benchmarks.speed --only processes runs --out $(BENCH_FOLDER)/commands.json $(BENCH)

test: $(INSTALLED) ## The quick tests
	$(PYTEST) -m "not slow"

test-slow: $(INSTALLED) ## The tests that take minutes
	$(PYTEST) -m slow

test-all: test test-slow ## Both

check: $(INSTALLED) ## Lint, format, types and import direction; changes nothing
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(INSTALLED) ## Fix what ruff can fix, and format
	$(VENV)/bin/ruff check --fix --exit-zero .
	$(VENV)/bin/ruff format .

docs: $(INSTALLED) ## The pages of docs/ as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet
	@echo "Open site/index.html"

clean: ## Remove build outputs and caches; .venv, outputs and multirun stay
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +

# torch first and by itself, so that pip takes a local wheel (a CPU build, say) of the tested version where it finds one.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "memunlearn needs Python 3.11 or newer: set PYTHON, as in 'make PYTHON=python3.12 $(MAKECMDGOALS)'" >&2; exit 1; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing torch (large: this can take some minutes)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@echo "Installing memunlearn and its development tools"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
