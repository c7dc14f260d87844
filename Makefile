# uds_dist needs Python 3.10 or newer and make. Its tests also need pytest and mypy, which are
# installed into a virtual environment, build/venv-X.Y. All files are written to build/, even byte
# code and caches; only pip uses its own cache, and tests make temporary files.
#
#   make test PYTHON=python3.12                   another Python
#   make test PYTEST_ARGS="-x -k handshake"       arguments for pytest
#   make bench BENCH_ARGS="rtt --quick"           arguments for the benchmarks
#   make test TOOLS_PYTHON=python3                a Python that already has pytest (and mypy)
#   make test PYTHON_FLAGS="-bb -X dev"           options of the Python that runs the tests
#   make test BUILD=/tmp/uds_dist                 another folder instead of build/

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help demo man test typecheck check interop interop-install compile test-compiled bench \
	bench-compiled fuzz fuzz-compiled sdist clean python

PYTHON ?= python3
PYTHON_FLAGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_ARGS ?=
TOOLS_PYTHON ?=

# From the environment too: tests run make again, and it must not fall back to build/.
BUILD ?= build
ifeq ($(strip $(BUILD)),)
override BUILD := build
endif

# Any of these paths may contain blanks: recipes quote them, and goal names escape them.
blank := $(subst ,, )
VERSION := $(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
BUILD_PATH := $(if $(filter /%,$(firstword $(BUILD))),$(BUILD),$(CURDIR)/$(BUILD))
VENV := $(BUILD)/venv-$(VERSION)
COMPILED := $(BUILD)/compiled-$(VERSION)
VENV_GOAL := $(subst $(blank),\ ,$(VENV))
COMPILED_GOAL := $(subst $(blank),\ ,$(COMPILED))
SOURCES := $(shell find uds_dist -name '*.py')
PACKAGING := pyproject.toml $(wildcard .packaging/*.py) .packaging/compiled.txt

export PYTHONPYCACHEPREFIX := $(BUILD_PATH)/pycache
export MYPY_CACHE_DIR := $(BUILD_PATH)/mypy

ifeq ($(TOOLS_PYTHON),)
RUN := $(VENV)/bin/python
HAS_PYTEST := $(VENV_GOAL)/pytest.done
HAS_MYPY := $(VENV_GOAL)/mypy.done
else
RUN := $(TOOLS_PYTHON)
endif
# The oldest Python that the package supports; by default mypy checks for the running one.
OLDEST := 3.10

# "-m pytest" puts this folder first on the path, so the sources would hide the compiled package.
RUN_PYTEST := import sys; del sys.path[0]; import pytest; sys.exit(pytest.main())
# The same, but the benchmarks are in this folder, so it goes to the end of the path.
RUN_BENCH := import runpy, sys; sys.path.append(sys.path.pop(0)); \
	runpy.run_module('tests.bench', run_name='__main__', alter_sys=True)
RUN_FUZZ := $(subst tests.bench,tests.fuzz,$(RUN_BENCH))

BUILD_SDIST := import sys; sys.path.insert(0, '.packaging'); import backend; \
	print(backend.build_sdist(sys.argv[1]))

help:  ## show this list
	@echo "make GOAL, where GOAL is one of"
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

demo: | python  ## two Python nodes talk over a Unix socket; needs only Python
	@"$(PYTHON)" -m uds_dist demo

man: | python  ## write the manual page of the command line, uds-dist.1, into build/
	@mkdir -p "$(BUILD)"
	@"$(PYTHON)" -m uds_dist help man >"$(BUILD)/uds-dist.1"
	@echo "make: $(BUILD)/uds-dist.1"

test: $(HAS_PYTEST) | python  ## run all tests; those against a real BEAM only if it is installed
	@"$(RUN)" $(PYTHON_FLAGS) -m pytest $(PYTEST_ARGS)

interop: $(HAS_PYTEST) | python  ## run only the tests against a real BEAM
	@"$(RUN)" $(PYTHON_FLAGS) -m pytest tests/interop $(PYTEST_ARGS)

interop-install:  ## install OTP 27 and 29 for these tests in ~/.cache/uds_dist (Debian, root, network)
	@tests/interop/install_otp.sh

typecheck: $(HAS_MYPY) | python  ## run mypy, and compare the contract in typings/ with the package
	@"$(RUN)" -m mypy --python-version $(OLDEST)
	@MYPYPATH=typings "$(RUN)" -m mypy.stubtest --mypy-config-file pyproject.toml \
		--allowlist tests/typing/not_public.txt --ignore-unused-allowlist uds_dist
	@MYPYPATH=typings "$(RUN)" -m mypy --python-version $(OLDEST) \
		--cache-dir "$(BUILD)/mypy-contract" tests/typing

check: typecheck test demo  ## run typecheck, test and demo

compile: $(COMPILED_GOAL)/compile.done  ## compile the hot path into build/ (needs a C compiler)

test-compiled: $(COMPILED_GOAL)/compile.done $(HAS_PYTEST)  ## run all tests on the compiled build
	@PYTHONPATH="$(BUILD_PATH)/compiled-$(VERSION)" UDS_DIST_EXPECT_COMPILED=1 \
		"$(RUN)" -c "$(RUN_PYTEST)" --import-mode=append $(PYTEST_ARGS)

bench: | python  ## measure the speed against the BEAM; BENCH_ARGS=--help shows the choices
	@"$(PYTHON)" -m tests.bench $(BENCH_ARGS)

bench-compiled: $(COMPILED_GOAL)/compile.done  ## measure the compiled build
	@PYTHONPATH="$(BUILD_PATH)/compiled-$(VERSION)" "$(PYTHON)" -c "$(RUN_BENCH)" $(BENCH_ARGS)

sdist: $(HAS_MYPY) | python  ## write the source archive into build/
	@UDS_DIST_BUILD="$(BUILD_PATH)" "$(RUN)" -c "$(BUILD_SDIST)" "$(BUILD_PATH)" \
		>"$(BUILD)/sdist.log" 2>&1 || { cat "$(BUILD)/sdist.log" >&2; exit 1; }
	@tail -n 1 "$(BUILD)/sdist.log"

fuzz: $(HAS_PYTEST) | python  ## run the fuzzers with new seeds: FUZZ_ARGS="--seconds 3600 --seed 1"
	@"$(RUN)" -m tests.fuzz $(FUZZ_ARGS)

fuzz-compiled: $(COMPILED_GOAL)/compile.done $(HAS_PYTEST)  ## run the fuzzers on the compiled build
	@PYTHONPATH="$(BUILD_PATH)/compiled-$(VERSION)" "$(RUN)" -c "$(RUN_FUZZ)" $(FUZZ_ARGS)

clean:  ## remove build/ and every cache
	@rm -rf "$(BUILD)"
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the goals above need ---------------------------------------------------------------------

python:
	@if [ -z "$(VERSION)" ]; then \
		echo "make: cannot find '$(PYTHON)': install Python 3.10 or newer, or name one:" \
			"make PYTHON=/path/to/python3 ..." >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "make: '$(PYTHON)' is Python $(VERSION); uds_dist needs 3.10 or newer:" \
			"make PYTHON=/path/to/python3 ..." >&2; exit 1; }

$(VENV_GOAL)/bin/python: | python
	@mkdir -p "$(BUILD)"
	@"$(PYTHON)" -m venv "$(VENV)" >"$(VENV).log" 2>&1 || { \
		rm -rf "$(VENV)"; cat "$(VENV).log" >&2; \
		echo "make: '$(PYTHON) -m venv' failed: the venv module or ensurepip is missing." \
			"On Debian and Ubuntu: apt-get install python3-venv." \
			"Or name a Python that has pytest and mypy: make TOOLS_PYTHON=python3 ..." >&2; exit 1; }

# One recipe for both: pytest for the tests, mypy and the build tools for the rest.
$(VENV_GOAL)/%.done: .packaging/%.txt $(VENV_GOAL)/bin/python
	@echo "make: installing $$(paste -sd' ' $<) into $(VENV)"
	@"$(VENV)/bin/python" -m pip install -q --disable-pip-version-check -r $< \
		>"$(VENV)/$*.log" 2>&1 || { \
		cat "$(VENV)/$*.log" >&2; \
		echo "make: pip could not install $$(paste -sd' ' $<). Is there a network, or an index that" \
			"pip can reach? Without one, name a Python that has them:" \
			"make TOOLS_PYTHON=python3 ..." >&2; exit 1; }
	@touch "$@"

# mypy also checks the tests, so it needs pytest; and two pips in one environment would race.
$(VENV_GOAL)/mypy.done: | $(VENV_GOAL)/pytest.done

# The wheel that UDS_DIST_MYPYC=1 builds for users, unpacked where the tests can find it.
$(COMPILED_GOAL)/compile.done: $(SOURCES) $(PACKAGING) $(HAS_MYPY) | python
	@"$(RUN)" -c 'import os, shutil, sys, sysconfig; \
		sys.exit(not shutil.which(sysconfig.get_config_var("CC").split()[0]) \
		or not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || { \
		echo "make: no C compiler, or no Python.h. On Debian and Ubuntu:" \
			"apt-get install gcc python3-dev." >&2; exit 1; }
	@rm -rf "$(COMPILED)" && mkdir -p "$(COMPILED)"
	@echo "make: compiling into $(COMPILED)"
	@UDS_DIST_BUILD="$(BUILD_PATH)" UDS_DIST_MYPYC=1 "$(RUN)" -m pip install -q \
		--disable-pip-version-check --no-deps --no-build-isolation --no-compile --target "$(COMPILED)" . >"$(COMPILED).log" 2>&1 || { \
		cat "$(COMPILED).log" >&2; echo "make: the compiled build failed, see above" >&2; exit 1; }
	@touch "$@"
