# make repro: from nothing to a tracked, evaluated, exported model. make help says the rest.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
READY := .venv/.ready
# Stages that DVC starts as `python` find this environment's.
export PATH := $(BIN):$(PATH)
# Known vulnerabilities that no release mends; SECURITY.md says what keeps each from doing harm.
ACCEPTED := CVE-2025-69872
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: help env repro test long check verify bench faults fuzz audit ui play clean

help:  ## say what each target does
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

env: $(READY)  ## make the environment in .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "lmlab needs Python 3.11 to 3.13, found " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

repro: $(READY)  ## run the pipeline of conf/: params.yaml, dvc repro, MLflow, the numbers
	@python -m pipelines.compose
	@dvc repro
	@python -m pipelines.track
	@python -m pipelines.summary

test: $(READY)  ## run the test suite (about ten minutes on 2 cores)
	@OMP_NUM_THREADS=1 python -m pytest -n 2 --dist worksteal

long: $(READY)  ## run the tests that `make test` leaves out (about twenty minutes); those of faults are in `make faults`
	@OMP_NUM_THREADS=1 python -m pytest -m long --ignore tests/faults

check: $(READY)  ## check formatting, lint and types
	@ruff format --check
	@ruff check
	@pyright

verify: $(READY)  ## reproduce the reported results: score and evaluate all that is here, train the quickest anew
	@python -m pipelines.verify
	@python -m pipelines.verify topics_docs_transformer --level train

bench: $(READY)  ## measure speed and memory against others, side by side; writes reports/benchmarks.md
	@python -m benchmarks

faults: $(READY)  ## kill, fill up, damage and starve every stage; writes reports/reliability.md (about ten minutes)
	@OMP_NUM_THREADS=1 python -m pytest tests/faults -m "long or not long" --reliability reports/reliability.md

fuzz: $(READY)  ## ten thousand hostile inputs at every door (an hour or two); the suite tries a few of them
	@LMLAB_FUZZ=long OMP_NUM_THREADS=1 RUST_BACKTRACE=0 python -m pytest tests/hostile --durations=0

audit: $(READY)  ## look every pin up among known vulnerabilities, as PyPI lists them
	@pip-audit --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off $(ACCEPTED:%=--ignore-vuln %)

ui: $(READY)  ## the MLflow UI on 127.0.0.1:5000
	@python -m pipelines.ui

play: $(READY)  ## a page to try models on, on 127.0.0.1:7860
	@python -m pipelines.play

clean:  ## remove what stages wrote outside DVC's cache; mlflow.db stays
	rm -rf work data models
