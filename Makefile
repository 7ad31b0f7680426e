# make install  the program into .venv, without the demo
# make demo   install, get Fashion-MNIST, train with CE and with BSCE, print one table
# make test   install what the tests need, lint, build the documentation, run the tests; what was
#             skipped is told at the end
# make test-next  the tests with the newest releases of everything, in .venv-next; lines that begin
#             with "newest:" say which those are
# make docs   the documentation in build/docs/html, its tutorials run anew where the program changed;
#             warnings and broken links are errors
# make links  ask every address on the web that the documentation names; needs a network
# make bench  install what they are measured against, run the benchmarks: under 30 minutes
# make torture    kill the program at 100 moments and look whether anything is lost: 20 minutes
# make mutations  break lines on purpose and see the tests fail: an hour
PYTHON ?= python3
# Environments are installed side by side.
MAKEFLAGS += --jobs=2
BIN := .venv/bin
# --use-pep517: else older pips run the setup.py of a requirement (seqeval) without what that needs.
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --use-pep517 --constraint constraints.txt

.PHONY: install demo test test-next test-large lint docs links bench torture mutations clean

install: .venv/core

demo: .venv/core
	tools/get_fashion_mnist.sh .data
	$(BIN)/python main.py

test: lint docs .venv-backends/done
	$(BIN)/python -m pytest -rs

# Anew each time, without constraints.txt and without the upper bounds of setup.cfg.
test-next:
	rm -rf .venv-next
	$(PYTHON) -m venv .venv-next
	$(PYTHON) tools/newest.py > .venv-next/newest.txt
	.venv-next/bin/pip --disable-pip-version-check install --quiet --requirement .venv-next/newest.txt
	.venv-next/bin/pip --disable-pip-version-check install --quiet --no-deps --editable .
	.venv-next/bin/python tools/newest.py --installed
	.venv-next/bin/python -m pytest -rs

test-large: .venv/dev
	$(BIN)/python -m pytest -n 0 -m large

lint: .venv/dev
	$(BIN)/ruff check .

# Pages are filled from the program itself, in its environment; Sphinx has one of its own.
docs: build/tutorials/done .venv-docs/done
	rm -rf build/docs
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m tools.docs.site sources build/docs/source
	.venv-docs/bin/sphinx-build -W --keep-going -q -c docs build/docs/source build/docs/html
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m tools.docs.site beside build/docs/html
	@echo "build/docs/html/index.html"

links: docs
	.venv-docs/bin/sphinx-build -q -b linkcheck -c docs build/docs/source build/docs/links

build/tutorials/done: .venv/dev .venv-backends/done $(wildcard docs/tutorials/*.py tools/docs/*.py) $(shell find bsce_tf -name '*.py')
	tools/get_fashion_mnist.sh .data
	$(BIN)/python -m tools.docs.tutorials
	touch $@

torture: .venv/dev
	$(BIN)/python tools/torture.py $(if $(KILLS),--kills=$(KILLS))

mutations: .venv/dev
	$(BIN)/python tools/mutations.py $(if $(ONLY),--only=$(ONLY))

bench: .venv/dev .venv-peers/done
	$(BIN)/python benchmarks/run.py $(if $(ONLY),--only=$(ONLY))

.venv/core: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv || { echo "error: $(PYTHON) -m venv failed; expected Python 3.11 to 3.13 with the package python3-venv" >&2; exit 2; }
	$(PIP) --editable .
	touch $@

.venv/dev: .venv/core
	$(PIP) --editable '.[dev]'
	touch $@

# PyTorch and what comes with it clash with TensorFlow's environment.
.venv-peers/done: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip --disable-pip-version-check install --quiet --retries 1 --requirement $< \
		--extra-index-url https://download.pytorch.org/whl/cpu
	touch $@

# The loss on JAX and PyTorch, without TensorFlow.
.venv-backends/done: tests/losses/backends.txt
	$(PYTHON) -m venv .venv-backends
	.venv-backends/bin/pip --disable-pip-version-check install --quiet --retries 1 --requirement $< \
		--extra-index-url https://download.pytorch.org/whl/cpu
	touch $@

.venv-docs/done: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv-docs
	$(PYTHON) -c "import configparser as c; p = c.ConfigParser(); p.read('setup.cfg'); print(p['options.extras_require']['docs'])" > .venv-docs/needs.txt
	.venv-docs/bin/pip --disable-pip-version-check install --quiet --constraint constraints.txt --requirement .venv-docs/needs.txt
	touch $@

clean:
	rm -rf .venv .venv-peers .venv-backends .venv-next .venv-docs build runs
