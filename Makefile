# Everything a fresh machine needs is behind `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo
DEVICE ?= cpu
PHOTOS ?=

export DO_NOT_TRACK = 1
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PYTHONWARNINGS = ignore::Warning:setuptools

.PHONY: help setup demo test check lint contracts sizes types installed docs bench segmenter matcher dictionary lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

setup: $(STAMP)  ## the environment in .venv, with the versions of constraints.txt

demo: $(STAMP)  ## a small survey to ranked identifications; PHOTOS=dir takes real photos
	$(BIN)/resight demo --workspace '$(DEMO)' $(if $(PHOTOS),--photos '$(PHOTOS)')

# A process per core, each with one thread: two threads in each of two processes cost more than twice the work.
PYTEST := -m pytest -n auto --dist loadfile
# Coverage takes about half as much time again, so that it is measured only where COVERAGE=yes asks for it (.ci/run).
COVERAGE ?=
test: export OMP_NUM_THREADS = 1

test: $(STAMP)  ## all tests; COVERAGE=yes says which lines and branches they reach, and fails below the floor in pyproject.toml
	$(if $(COVERAGE),$(BIN)/coverage erase && $(BIN)/coverage run,$(BIN)/python) $(PYTEST)
	$(if $(COVERAGE),$(BIN)/coverage combine --quiet && $(BIN)/coverage report --sort=cover)

check: lint sizes contracts types docs test  ## what a change must pass

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

sizes: $(STAMP)  ## modules up to 350 lines, functions up to 45; exceptions with a reason in tools/sizes.toml
	$(BIN)/python tools/sizes.py

# An editable install hides the mapped folders (flows, tasks, catalog) from mypy and grimp; both read the built wheel.
installed: $(STAMP)
	rm -rf build/lib build/bdist.* build/wheel build/installed
	$(BIN)/python -m pip wheel --quiet --no-deps -w build/wheel .
	$(BIN)/python -m pip install --quiet --no-deps --target build/installed build/wheel/*.whl

contracts: installed  ## who may import whom, and that no modules import each other
	PYTHONPATH=build/installed $(BIN)/lint-imports --no-logo --no-cache
	PYTHONPATH=build/installed $(BIN)/python tools/import_circles.py

types: installed  ## mypy --strict
	cd build && MYPYPATH=installed ../$(BIN)/mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache -p resight

docs: $(STAMP)  ## the site in build/site; fails on a broken link
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(STAMP)  ## the engine side by side with others; DEVICE=cuda on a GPU
	$(BIN)/python benchmarks/bench_engine.py --device $(DEVICE)

segmenter: $(STAMP)  ## train the bundled head finder again, from DATA (default ../shared/data)
	$(BIN)/resight train segmenter $(or $(DATA),../shared/data)/zakynthos $(or $(DATA),../shared/data)/bonaire \
		--out src/resight/segment/learned/headfinder.safetensors --checkpoint build/segmenter.checkpoint

MATCHER_STEPS ?= 60000
matcher: $(STAMP)  ## train the bundled matcher on, from DATA; DEVICE=cuda on a GPU, MORE=--resume after a stop
	mkdir -p build/matcher
	$(BIN)/resight train matcher --workspace build/matcher --photos $(or $(DATA),../shared/data)/zakynthos \
		--from lightglue-sift-turtle --out build/matcher/training --device $(DEVICE) --steps $(MATCHER_STEPS) --batch 32 --keypoints 384 \
		--leave-out t001 --leave-out t004 --leave-out t013 --leave-out t016 --leave-out t020 --leave-out t021 $(MORE)

dictionary: $(STAMP)  ## catalog/DICTIONARY.md from catalog/tables.py
	$(BIN)/python -c "from resight.catalog import COMPUTED, TABLES, data_dictionary; open('catalog/DICTIONARY.md', 'w').write(data_dictionary(TABLES + COMPUTED))"

lock: ## constraints.txt anew, from an empty environment
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet 'torch==2.13.0' && build/lock/bin/python -m pip install --quiet -e '.[dev]'
	build/lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//' > constraints.txt

clean:  ## what was built, not the environment
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
