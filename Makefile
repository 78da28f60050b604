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

.PHONY: help setup demo test torture check lint contracts sizes types installed docs bench segmenter matcher dictionary lock try-install sbom advisories clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# Every file is checked against the digests of the lock, which is complete (--no-deps); what builds the package comes
# from there too. TORCH=cuda takes torch with CUDA instead of a CPU build, which the package index may not have.
TORCH ?= cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
LOCKS := requirements/development.txt requirements/torch-$(TORCH).txt
INSTALL := $(BIN)/python -m pip install --quiet --no-deps

$(STAMP): pyproject.toml $(LOCKS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements/development.txt
	$(INSTALL) --require-hashes -r requirements/torch-$(TORCH).txt \
		|| $(INSTALL) --require-hashes -r requirements/torch-$(TORCH).txt --extra-index-url $(TORCH_INDEX)
	$(INSTALL) --no-build-isolation -e .
	$(BIN)/python -m pip check
	touch $(STAMP)

setup: $(STAMP)  ## the environment in .venv, with the files that requirements/development.txt names

demo: $(STAMP)  ## a small survey to ranked identifications; PHOTOS=dir takes real photos
	$(BIN)/resight demo --workspace '$(DEMO)' $(if $(PHOTOS),--photos '$(PHOTOS)')

# A process per core, each with one thread: two threads in each of two processes cost more than twice the work. Files in
# their own order: by default those with the fewest tests come last, the longest test of all among them, when the other cores have nothing left.
PYTEST := -m pytest -n auto --dist loadfile --no-loadscope-reorder
# Coverage takes about a quarter more time, so that it is measured only where COVERAGE=yes asks for it (before a release).
COVERAGE ?=
test: export OMP_NUM_THREADS = 1

test: $(STAMP)  ## all tests; COVERAGE=yes says which lines and branches they reach, and fails below the floor in pyproject.toml
	$(if $(COVERAGE),$(BIN)/coverage erase && $(BIN)/coverage run,$(BIN)/python) $(PYTEST)
	$(if $(COVERAGE),$(BIN)/coverage combine --quiet && $(BIN)/coverage report --sort=cover)

# How much of each; a run that was stopped goes on where it was, unless RESULTS names another file.
FAULTS ?= 2000
DAMAGED ?= 500
INPUTS ?= 2000
HISTORIES ?= 200
LOSSES ?= 500
RESULTS ?= build/torture/results.jsonl
torture: export OMP_NUM_THREADS = 1
torture: export RESIGHT_TORTURE = 1

torture: $(STAMP)  ## hours of faults, damage, odd inputs, random histories and losses of power; FAULTS, DAMAGED, INPUTS, HISTORIES, LOSSES say how many
	$(BIN)/python tests/torture/long.py --faults $(FAULTS) --damaged $(DAMAGED) --inputs $(INPUTS) --histories $(HISTORIES) --losses $(LOSSES) --out $(RESULTS)
	$(BIN)/python -m pytest tests/flows/test_signals.py

check: lint sizes contracts types docs test  ## what a change must pass

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

sizes: $(STAMP)  ## modules up to 350 lines, functions up to 45; exceptions with a reason in tools/sizes.toml
	$(BIN)/python tools/sizes.py

# An editable install hides the mapped folders (flows, tasks, catalog) from mypy and grimp; both read the built wheel.
installed: $(STAMP)
	rm -rf build/lib build/bdist.* build/wheel build/installed
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w build/wheel .
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
# The loggerheads of the folder zakynthos, which measure and are in no training.
UNTOUCHED := t001 t002 t004 t006 t008 t013 t015 t016 t017 t020 t021 t023
matcher: $(STAMP)  ## train the bundled matcher on, from DATA; DEVICE=cuda on a GPU, MORE=--resume after a stop
	mkdir -p build/matcher
	$(BIN)/resight train split $(or $(DATA),../shared/data)/heads --out build/matcher/animals.csv \
		$(foreach animal,$(UNTOUCHED),--leave-out $(animal))
	$(BIN)/resight train matcher --workspace build/matcher --photos $(or $(DATA),../shared/data)/heads --set segment.kind=whole \
		--split build/matcher/animals.csv --from lightglue-sift-turtle-2 --out build/matcher/training --device $(DEVICE) \
		--steps $(MATCHER_STEPS) --batch 32 --keypoints 384 $(MORE)

dictionary: $(STAMP)  ## catalog/DICTIONARY.md from catalog/tables.py
	$(BIN)/python -c "from resight.catalog import COMPUTED, TABLES, data_dictionary; open('catalog/DICTIONARY.md', 'w').write(data_dictionary(TABLES + COMPUTED))"

UPGRADE ?=
lock:  ## the locks in requirements/ anew from pyproject.toml; UPGRADE=yes takes the newest versions
	rm -rf build/lock && $(PYTHON) -m venv build/lock/venv
	sed -n '/^packaging==/,/# via/p; /^uv==/,/# via/p' requirements/development.txt > build/lock/tools.txt
	build/lock/venv/bin/python -m pip install --quiet --no-deps --require-hashes -r build/lock/tools.txt
	build/lock/venv/bin/python tools/lock.py $(if $(UPGRADE),--upgrade)

MORE ?=
try-install: $(STAMP)  ## the wheel in empty environments of pip and uv, with a night of the demo; MORE=--no-demo leaves that out
	$(BIN)/python tools/try_install.py $(MORE)

sbom: $(STAMP)  ## build/sbom.cdx.json: packages and bundled weights with digests and licences, as CycloneDX
	$(BIN)/python tools/sbom.py build/sbom.cdx.json

LIST ?=
advisories: $(STAMP)  ## published weaknesses of what is locked; LIST=file.zip asks a list on disk in OSV's form, not the network
	$(BIN)/python tools/advisories.py $(if $(LIST),--list '$(LIST)')

clean:  ## what was built, not the environment
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
