# Everything is set up in .venv: `make demo` and `make test` need Python >= 3.11 and make, nothing else. Another Python,
# as in `make test PYTHON=python3.13`, has a folder of its own.
PYTHON ?= python3
VENV := $(if $(filter python3,$(PYTHON)),.venv,build/venv-$(subst /,-,$(PYTHON)))
BIN := $(VENV)/bin

.PHONY: demo test test-random test-settings test-lowest test-interchange lint types docs package setup setup-test bench post-layout fuzz mutation reproduce clean

# the default installation: all that the bundled pair needs, its energy at gate level included
demo: setup
	$(BIN)/fewflips demo --output demo-out

test: setup-test lint types
	$(BIN)/python -m pytest -n 2

# every property with fresh examples, five times as many; SEED, which the command shows, repeats a run
SEED ?= $(shell $(PYTHON) -c 'import secrets; print(secrets.randbelow(2**32))')
test-random: SEED := $(SEED)
test-random: setup-test
	$(BIN)/python -m pytest -n 2 -m hypothesis --hypothesis-profile=fresh --hypothesis-seed=$(SEED)

# on other processors, as far as one can stand for them: other vector instructions (of PyTorch, and of compiled kernels),
# one thread, tests in random order, four workers and one
test-settings: SEED := $(SEED)
test-settings: setup-test
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 NUMBA_CPU_NAME=generic \
		$(BIN)/python -m pytest -n 4 --random-order --random-order-seed=$(SEED)
	ATEN_CPU_CAPABILITY=avx2 $(BIN)/python -m pytest -n 1 --random-order --random-order-seed=$(SEED)

# with the lowest releases that pyproject.toml allows; TESTS picks some
LOWEST := build/venv-lowest
LOWEST_EXTRAS := --extra assignment --extra gates --extra explore --extra cluster --extra dataframe --extra llm
TESTS ?= tests src
test-lowest: $(LOWEST)/installed-dev
	$(LOWEST)/bin/python -m pytest -n 2 $(TESTS)

# against AccelForge, hwcomponents and CACTI, whose packages need Python 3.12
PYTHON312 ?= python3.12
INTERCHANGE := build/venv-interchange
test-interchange: $(INTERCHANGE)/installed
	$(INTERCHANGE)/bin/python -m pytest tests/interchange

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo

types: setup-test
	$(BIN)/mypy

# the documentation as build/site/index.html: read offline, strict (a dead link or a warning ends it)
DOCS := build/venv-docs
docs: $(DOCS)/installed
	$(DOCS)/bin/sphinx-build --fresh-env --fail-on-warning --keep-going --quiet --conf-dir docs/site . build/site
	$(DOCS)/bin/python -m scripts.site_check build/site

# what is uploaded: a wheel and a source distribution, checked
PACKAGE := build/venv-package
package: $(PACKAGE)/installed
	rm -rf build/dist
	$(PACKAGE)/bin/python -m build --outdir build/dist
	$(PACKAGE)/bin/twine check --strict build/dist/*
	$(PACKAGE)/bin/check-wheel-contents build/dist

# records of benchmarks, and the tables and figures of the README and docs that are made of them; BENCH="--speed", or
# names of records, for a part
BENCH ?=
bench: setup-test
	$(BIN)/python -m benchmarks $(BENCH)

post-layout: setup-test
	$(BIN)/python -m scripts.post_layout

# mutated inputs of everything that is read: docs/reliability.md
FUZZ_INPUTS ?= 2000
fuzz: setup-test
	$(BIN)/python -m scripts.fuzz --inputs $(FUZZ_INPUTS)

# changes in the modules that every figure rests on, which tests must notice: docs/mutation_testing.md
MUTATION ?=
mutation: setup-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mutation]'
	$(BIN)/python -m scripts.mutation $(MUTATION)

reproduce: setup-test
	$(BIN)/python -m scripts.reproduction

setup: $(VENV)/installed
setup-test: $(VENV)/installed-dev

$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml scripts/install_test_tools.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,lint]'
	sh scripts/install_test_tools.sh
	touch $(VENV)/installed $@

$(LOWEST)/installed-dev: pyproject.toml scripts/install_test_tools.sh
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip compile --quiet --no-deps --resolution lowest-direct $(LOWEST_EXTRAS) \
		--python $(LOWEST)/bin/python --output-file $(LOWEST)/constraints.txt pyproject.toml
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' \
		--constraint $(LOWEST)/constraints.txt
	sh scripts/install_test_tools.sh
	touch $@

$(INTERCHANGE)/installed: pyproject.toml scripts/build_cacti.sh
	test -x $(INTERCHANGE)/bin/python || $(PYTHON312) -m venv $(INTERCHANGE)
	$(INTERCHANGE)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[accelforge,memory]' \
		'hypothesis>=6.170' 'pytest>=9.2' 'pytest-random-order>=1.2'
	sh scripts/build_cacti.sh $(INTERCHANGE)/bin/python
	touch $@

$(DOCS)/installed: pyproject.toml
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

$(PACKAGE)/installed: pyproject.toml
	test -x $(PACKAGE)/bin/python || $(PYTHON) -m venv $(PACKAGE)
	$(PACKAGE)/bin/python -m pip install --quiet --disable-pip-version-check 'build>=1.2' 'check-wheel-contents>=0.6' 'twine>=6.0'
	touch $@

clean:
	rm -rf $(VENV) demo-out out
