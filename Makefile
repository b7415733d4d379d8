# mimamori — `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRAIN_STAMP := $(VENV)/.installed-train
UV_VERSION := 0.13.9
KAFKA_HOME := .cache/kafka
CORPUS ?= ../shared/corpus
RUN ?= runs/default

.DEFAULT_GOAL := help
.PHONY: help install demo test test-quick test-broker test-faults check format bench fuzz kafka-test chaos train evaluate schemas lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -f $(TRAIN_STAMP)
	@touch $@

$(TRAIN_STAMP): $(STAMP) requirements-train.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-train.lock
	@touch $@

install: $(STAMP)  ## .venv with everything pinned in requirements.lock

demo: $(STAMP)  ## embedded Kafka + a worker + sample posts, every decision printed
	@$(BIN)/mimamori demo

test: test-quick test-broker test-faults  ## the whole test suite (real-Kafka tests are skipped without Java); -j3 at once

test-quick: $(STAMP)  ## its part without a broker: units and commands
	$(BIN)/python -m pytest tests/unit tests/cli

test-broker: $(STAMP)  ## its part on one Apache Kafka
	$(BIN)/python -m pytest tests/broker --ignore tests/broker/test_faults.py

test-faults: $(STAMP)  ## the rest: the embedded broker, what breaks, chaos on three brokers
	$(BIN)/python -m pytest tests/broker/test_faults.py \
	  $(filter-out tests/unit tests/cli tests/broker,$(patsubst %/,%,$(dir $(wildcard tests/*/__init__.py))))

check: $(STAMP)  ## ruff, mypy --strict, import rules, generated files current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m workers.schemas --check

format: $(STAMP)  ## ruff's fixes and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

kafka-test: $(STAMP)  ## fetch Apache Kafka's jars from Maven Central and run the tests that need a real broker
	tests/kafka/fetch.sh $(KAFKA_HOME)
	MIMAMORI_REQUIRE=kafka $(BIN)/python -m pytest -m kafka

chaos: $(STAMP)  ## kill workers and brokers, then check every record (SEED=n RUNS=n KILLS=n POSTS=n); log in runs/chaos
	tests/kafka/fetch.sh $(KAFKA_HOME)
	$(BIN)/python -m tests.chaos $(foreach name,SEED RUNS KILLS POSTS,$(if $($(name)),--$(shell echo $(name) | tr A-Z a-z) $($(name))))

fuzz: $(STAMP)  ## a million damaged records through decode, classify (a stand-in) and decide in memory (RECORDS=n SEED=n)
	@$(BIN)/python -m benchmarks.fuzz $(foreach name,RECORDS SEED,$(if $($(name)),--$(shell echo $(name) | tr A-Z a-z) $($(name))))

bench: $(STAMP)  ## classifier, worker and loops by hand in one run on the same posts (PARTS=a,b QUICK=1); into runs/bench
	tests/kafka/fetch.sh $(KAFKA_HOME)
	$(BIN)/python -m benchmarks $(if $(PARTS),--parts $(PARTS)) $(if $(QUICK),--quick)

train: $(TRAIN_STAMP)  ## the shipped checkpoint from corpora and posts (CORPUS=dir RUN=dir); resumes after a kill
	$(BIN)/python -m models.distill --corpus $(CORPUS) --out $(RUN)
	test -d $(RUN)/teacher-base || $(BIN)/python -m models.teacher_directory --corpus $(CORPUS) --out $(RUN)/teacher-base
	test -f $(RUN)/teacher/training.json || $(BIN)/mimamori train --base $(RUN)/teacher-base --out $(RUN)/teacher \
	  --corpus $(CORPUS) --epochs 3 --rate 1e-4
	$(BIN)/mimamori train --base $(RUN)/encoder --teacher $(RUN)/teacher --out $(RUN)/checkpoint --corpus $(CORPUS)

evaluate: $(STAMP)  ## figures of the shipped checkpoint on the committed test split
	$(BIN)/mimamori evaluate

schemas: $(STAMP)  ## write docs/schemas/*.json and docs/asyncapi.yml from the record types
	$(BIN)/python -m workers.schemas

lock: $(STAMP)  ## resolve pyproject.toml again into the hashed lock files
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --extra dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --extra dev --extra train -c requirements.lock pyproject.toml \
	  -o requirements-train.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" -c requirements.lock pyproject.toml -o requirements-run.lock

clean:  ## remove .venv, caches and what the demo left
	rm -rf $(VENV) .cache build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
