# make demo [DATA=<GTSDB folder or FullIJCNN2013.zip>]   the whole loop
# make test                                              all tests
# A failing command in a pipe must stop make.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
export DATA ?=
VENV := .venv
SIGNS := $(VENV)/bin/signs

.DEFAULT_GOAL := help
.PHONY: help demo test lint format chart-docs dashboards constraints clean

help:
	@echo "make demo [DATA=PATH]  run the whole loop: data, training, export, Triton, clients, report"
	@echo "make test              run all tests, with a real tritonserver"
	@echo "make lint              ruff and mypy"
	@echo "make format            let ruff mend what it can"
	@echo "make chart-docs        the table of values in the chart's README"
	@echo "make dashboards        write Grafana's dashboards anew from monitoring/dashboards"
	@echo "make clean             remove the environments and runs/; published versions stay"

# The stamp is made last, so that an installation that was cut off is taken up again.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m serving
	@$(PYTHON) -m venv $(VENV) || { echo "cannot make $(VENV): install python3-venv" >&2; exit 1; }
	@echo "installing the project into $(VENV) (about two minutes the first time)"
	@$(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off \
		--constraint constraints.txt --editable '.[train,export,client,monitoring,s3,sign,dev]' \
		| sed -un 's/^Collecting \([A-Za-z0-9._-]*\).*/  \1/p; s/^Installing collected packages.*/  unpacking all of them/p'
	@touch $@

demo: $(VENV)/installed
	@$(SIGNS) demo $${DATA:+--data "$$DATA"}

test: $(VENV)/installed
	@$(VENV)/bin/python -m pytest

lint: $(VENV)/installed
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

format: $(VENV)/installed
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

chart-docs: $(VENV)/installed
	@$(VENV)/bin/python tests/helm/chart_docs.py

dashboards: $(VENV)/installed
	@$(VENV)/bin/python -m monitoring.dashboards

# The versions that CI has passed with; they hold for `make`, not for those who install the package.
constraints:
	@$(VENV)/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf $(VENV) .tritonserver .tritonserver.partial-* runs
