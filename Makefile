# make demo   installs and runs the whole study on a synthetic hospital
# make test   installs and runs every check and test
# make lint   style, types and the rules of the house
# make docs   the documentation, to read from site/index.html
# make test-packages   SLURM and Chromium, for the tests that need them (Debian and Ubuntu, as root)
# make viz    the study as a graph, in the browser
# make mlflow the runs, at http://127.0.0.1:5000

PYTHON ?= python3
BIN := .venv/bin
KEDRO := $(BIN)/kedro
# As many folds at a time as there are cores to hand; the figures do not depend on it.
WORKERS ?= 2

export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: demo test test-packages lint docs viz mlflow clean
.DELETE_ON_ERROR:

demo: .venv/installed
	$(KEDRO) run --env demo --pipelines demo --runner ThreadRunner --runner-params max_workers=$(WORKERS)
	@echo
	@echo "Summary and tables  data/08_reporting/summary.csv, table_2.csv, scan_metrics.csv"
	@echo "Report              data/08_reporting/report.html, its figures in data/08_reporting/figures"
	@echo "The study's graph   make viz"
	@echo "Training curves     make mlflow"
	@echo "                    http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"

test: lint
	$(BIN)/pytest

test-packages:
	apt-get update --quiet=2
	DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends slurm-wlm munge chromium

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "The documentation   site/index.html"

viz: .venv/installed
	$(KEDRO) viz run --env demo

mlflow: .venv/installed
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db

clean:
	rm -rf data/0[1-8]*/* mlflow.db mlruns mlartifacts

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/installed-dev: .venv/bin/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch .venv/installed $@

.venv/installed-docs: .venv/bin/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	@touch .venv/installed $@
