# make demo   runs the product          make test   passes its tests
# Both set up all they need, once, and say plainly what they could not install.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-faults bench check fmt setup setup-dev chain servers contracts constraints dist clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Most tests wait for processes of their own, so a few files of them run side by side, fewer of those that load whole
# installations; those that hold parts to a time run alone. pytest ends with 5 where ARGS choose none.
AT_ONCE ?= 3
FAULTS  ?= 2
# pip names each package that it collects; a dot for each shows that it lives.
COUNT  := awk '/^Collecting/{printf (n++ ? "." : "      ."); fflush()} /^(ERROR|WARNING)/{print} END{if (n) print " " n " packages"}'

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup chain ## run the product on the demo region
	@$(BIN)/tweeling demo $(ARGS)

test: setup-dev chain servers ## run every test that CI runs
	@$(BIN)/python -m pytest -m "not slow and not fault" --numprocesses $(AT_ONCE) $(ARGS) || [ $$? = 5 ]
	@$(BIN)/python -m pytest -m "not slow and fault and not alone" --numprocesses $(FAULTS) $(ARGS) || [ $$? = 5 ]
	@$(BIN)/python -m pytest -m "not slow and alone" $(ARGS) || [ $$? = 5 ]

test-all: setup-dev chain servers ## run the long tests too
	@$(BIN)/python -m pytest $(ARGS)

test-faults: setup-dev chain servers ## kill, flood, starve and mislead every part; takes an hour
	@$(BIN)/python -m pytest tests/fault $(ARGS)

bench: setup-dev chain servers ## measure ingest, queries, custody and edge, beside the machine's own limits
	@$(BIN)/tweeling bench ingest $(ARGS)
	@$(BIN)/tweeling bench query $(ARGS)
	@$(BIN)/tweeling bench custody $(ARGS)
	@$(BIN)/tweeling bench edge $(ARGS)

check: setup-dev ## format, lint, types, layers, spelling
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell

fmt: setup-dev ## bring the code into form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

contracts: setup-dev chain ## compile the contracts into the package
	@$(BIN)/python contracts/build.py

dist: setup-dev ## build the wheel
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

constraints: setup-dev ## write down the versions that are installed
	@$(BIN)/pip freeze --exclude tweeling | grep -v '^-e ' > constraints.txt

clean: ## remove what set-up made (data stays)
	@rm -rf $(VENV) contracts/node_modules dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# ---------------------------------------------------------------- set-up, each step once

setup: $(VENV)/.hub
setup-dev: $(VENV)/.dev
chain: contracts/node_modules/.done

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tweeling needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 2; }
	@echo "  ··  a Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.hub: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "  ··  Python packages of the product (a minute or two)"
	@$(BIN)/python -m pip install --constraint constraints.txt --editable '.[all]' | $(COUNT)
	@touch $@

$(VENV)/.dev: $(VENV)/.hub
	@echo "  ··  Python packages of the tests"
	@$(BIN)/python -m pip install --constraint constraints.txt --group dev | $(COUNT)
	@touch $@

# The development chain and the contract compiler are npm packages. Without npm the product still runs:
# custody events are captured and shown as pending.
contracts/node_modules/.done: contracts/package.json contracts/package-lock.json
	@if ! command -v npm >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "  ··  npm, from Debian"; apt-get update -qq && apt-get install -y -qq npm >/dev/null; fi
	@if command -v npm >/dev/null; then \
	  echo "  ··  the development chain (anvil) and the contract compiler, from npm"; \
	  npm install --prefix contracts --no-save --silent --no-audit --no-fund && touch $@; \
	else \
	  echo "  !!  npm is missing, so no development chain: events will stay pending. On Debian: apt-get install npm"; fi

# Servers that only tests need. Without root they are left out and their tests skip by name.
# Tests start them by themselves, on free ports of loopback; Debian's own services are not wanted.
SERVERS := chromium mosquitto victoria-metrics postgresql
servers:
	@missing=; for package in $(SERVERS); do \
	  case $$package in postgresql) program=postgres;; *) program=$$package;; esac; \
	  PATH=$$PATH:/usr/sbin:$$(echo /usr/lib/postgresql/*/bin | tr ' ' ':') command -v $$program >/dev/null \
	    || missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "  ··  servers for the tests, from Debian:$$missing"; \
	  apt-get update -qq || true; \
	  for package in $$missing; do \
	    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$package >/dev/null 2>&1 \
	      || echo "  !!  could not install $$package; its tests will skip. Try: apt-get install $$package"; \
	    systemctl disable --quiet --now $$package 2>/dev/null || true; \
	  done; \
	else \
	  echo "  !!  not installed:$$missing. Their tests will skip. As root: apt-get install$$missing"; fi
