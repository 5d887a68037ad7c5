# Everything runs in .venv, which the first target that needs it makes. tox.ini runs the same command lines.

BIN := .venv/bin
EXTRAS := service,demo,docs,dev
READY := .venv/.ready

# For the caller to set, in the environment or on the command line:
AGAINST ?= HEAD
PYTHON ?=
INSTALLER ?=
BENCH_ARGS ?=
PERF_ARGS ?=
UNIT_ARGS ?=
DRILL_ARGS ?=

export PYTHON INSTALLER EXTRAS
unexport PYTHONHOME PYTHONPATH # they would mix another environment into .venv
unexport PYTHONDONTWRITEBYTECODE # each process that tests start would compile all that it imports

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help gate compare drill smoke test lint type imports unit docs figures lowest audit bench fuzz constraints clean

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  AGAINST=main                         what compare compares with; default: the last commit"
	@echo "  PERF_ARGS='--perf-scenario=steady'   further options of pytest, for gate, compare and smoke"
	@echo "  BENCH_ARGS=--quick                   further options of the benchmark"
	@echo "  SECONDS=600                          seconds per target of fuzz"
	@echo "  UNIT_ARGS='-k histogram'             the same for unit, test and lowest"
	@echo "  PYTHON=/path/to/python3.12           the interpreter that .venv is made from"
	@echo "  INSTALLER='uv pip install'           install with uv, which shares its downloads with tox"

gate: $(READY) ## set up, start the service, load it, judge p95 and p99 against their budgets
	$(BIN)/python -m pytest tailgate/scenarios -m perf $(PERF_ARGS)

compare: $(READY) ## compare the working tree with a revision, as a gate: AGAINST=main, say
	$(BIN)/python -m pytest tailgate/scenarios -m perf --perf-against=$(AGAINST) $(PERF_ARGS)

drill: $(READY) ## a comparison whose right verdict is known, for some commits; DRILL_ARGS='--case=all-5' runs it for any
	$(BIN)/tailgate drill $(DRILL_ARGS)

smoke: $(READY) ## the gate in short: fails on what is broken, not on what is slow
	$(BIN)/python -m pytest tailgate/scenarios -m perf --perf-profile=smoke --perf-enforce=measurement $(PERF_ARGS)

test: lint type imports unit ## set up, then all checks and tests

lint: export PATH := $(CURDIR)/$(BIN):$(PATH) # for shellcheck, which jactionlint runs
lint: $(READY) ## style and format, and the workflows; all without a network
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/shellcheck .ci/run .ci/setup
	$(BIN)/jactionlint --shellcheck=shellcheck
	$(BIN)/zizmor --quiet --offline --strict-collection --persona=pedantic .
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/ci.yml .github/workflows/comment.yml .github/workflows/gate.yml .github/workflows/nightly.yml .github/workflows/release.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml .github/actions/comment/action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml .github/ISSUE_TEMPLATE/wrong-verdict.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml

type: $(READY) ## static types
	$(BIN)/python -m mypy

imports: $(READY) ## which package may import which
	$(BIN)/lint-imports

unit: $(READY) ## the tests, without load
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal $(UNIT_ARGS)

docs: $(READY) ## the documents as a site, build/docs/index.html; a broken link is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs

figures: $(READY) ## fill in what the pages take from declarations and benchmarks/results
	$(BIN)/python -m docs

lowest: $(READY) ## the tests with the lowest version of everything that pyproject.toml declares, on Python 3.11
	$(BIN)/python -m tox -e lowest -- $(UNIT_ARGS)

# The environment's own uv where there is one; nothing else of it is needed.
audit: ## known vulnerabilities in the versions of constraints.txt; PyTorch, which is left free, is not among them
	$(or $(wildcard $(BIN)/uv),uv) tool run pip-audit@2.10.1 --strict --requirement constraints.txt --no-deps --disable-pip --vulnerability-service pypi

bench: $(READY) ## tailgate beside its peers and its limits: 25 minutes; benchmarks/README.md has the others
	$(BIN)/python -m benchmarks.serving $(BENCH_ARGS)

fuzz: $(READY) ## look for inputs that the parsers fail on: SECONDS for each of five targets
	EXTRAS=$(EXTRAS),fuzz .ci/setup
	nice $(BIN)/python tests/fuzz --seconds $(or $(SECONDS),60)

constraints: $(READY) ## take the newest releases and write them to constraints.txt (PyTorch stays)
	$(BIN)/python -m pip freeze | grep -E '^torch(vision)?==' > .venv/held.txt
	INSTALLER='$(BIN)/python -m pip install --upgrade --upgrade-strategy eager' CONSTRAINTS=.venv/held.txt .ci/setup
	$(BIN)/python .ci/constraints.py $(EXTRAS) > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt
	touch $(READY)

clean: ## remove .venv, the environments of tox and of the benchmarks, build outputs and caches; measurements in .perf stay
	rm -rf .venv .tox .bench build dist *.egg-info .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt .ci/setup
	@.ci/setup
