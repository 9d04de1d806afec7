# Two commands do all the set-up themselves: `make demo` and `make test`. `make help` lists the rest.

VENV ?= .venv
PYTHON := $(VENV)/bin/python
# Processes of the tests, each with one thread; 0 for none beside the one that collects. They take
# files in the order of their names: xdist would leave long files of few tests for the end.
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
SOURCES := medmask benchmarks tools tests configs setup.py
KERNELS := $(shell find medmask/layers/csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu')

.PHONY: help env demo test test-all lint format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

env:  ## create the environment in .venv; seconds when it already stands
	@VENV=$(VENV) bash tools/make_env.sh

demo: env  ## phantoms, stages of training, evaluation, pictures: output/demo
	@$(PYTHON) tools/demo.py --output output/demo

test: env  ## the tests that need no more than minutes
	@$(PYTEST) -m "not slow"

test-all: env  ## every test
	@$(PYTEST)

lint: env  ## check format, style and types of Python, format of C++ and CUDA
	@$(PYTHON) -m ruff format --check $(SOURCES)
	@$(PYTHON) -m ruff check $(SOURCES)
	@$(PYTHON) -m mypy
	@$(VENV)/bin/clang-format --dry-run --Werror $(KERNELS)

format: env  ## format all code
	@$(PYTHON) -m ruff format $(SOURCES)
	@$(PYTHON) -m ruff check --fix $(SOURCES)
	@$(VENV)/bin/clang-format -i $(KERNELS)

clean:  ## remove builds (not the environment, not results)
	@rm -rf build *.egg-info medmask/layers/*.so
