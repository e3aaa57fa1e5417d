PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
WORKERS := -n auto --maxprocesses=4
CACHE := _build/.jupyter_cache
JCACHE := JUPYTERCACHE=$(CACHE) $(BIN)/jcache

# One thread a process: the networks are small, a few processes run at a time, and sums are added in the same
# order on every machine, so the checked numbers in the notebooks are the same everywhere.
export OMP_NUM_THREADS := 1

# Settings of the builder's own would go into the pages, or stop the build: modules and scripts that Python runs
# first, matplotlib's backend and rc file, IPython's profile, other kernels, where pip installs. Text is UTF-8.
unexport PYTHONHOME PYTHONIOENCODING PYTHONPATH PYTHONSTARTUP PYTHONWARNINGS MPLBACKEND
unexport JUPYTER_PATH JUPYTER_CONFIG_PATH
unexport PIP_TARGET PIP_PREFIX PIP_REQUIRE_HASHES SOURCE_DATE_EPOCH
export PYTHONUTF8 := 1
export MATPLOTLIBRC := /dev/null
export IPYTHONDIR := $(CURDIR)/_build/.ipython
export JUPYTER_CONFIG_DIR := $(CURDIR)/_build/.jupyter
export PIP_USER := 0

# What the pages depend on and Sphinx does not watch: code that cells import, weights they load, and what goes into every page.
LIBRARY := $(shell find diffusion_lib book/weights -name '*.py' -o -name '*.js' -o -name '*.css' -o -name '*.wasm' -o -name '*.json' -o -name '*.npz' \
	-o -name '*.safetensors')
DRESS := _config.yml _toc.yml $(shell find book/_ext book/assets -type f -not -name '*.pyc')

# What else the pages are made of: where nothing has changed since a build that went well, it stands.
PAGES := $(shell find book -type f -not -name '*.pyc' -not -path '*/.*') README.md LICENSE

.DEFAULT_GOAL := help
.PHONY: help book serve pdf test test-all check mutants notebooks engine results weights bench clean distclean

help:  ## this list
	@awk -F ':.*## +' '/^[a-z-]+:.*## / {printf "  make %-12s%s\n", $$1, $$2}' Makefile

# The programs in .venv begin with its path: where the folder has another by now, .venv is set up anew.
INSTALLED_AT := $(shell cat .venv/.installed 2> /dev/null)
ifneq ($(INSTALLED_AT),$(CURDIR))
.PHONY: .venv/.installed
endif

.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else \
		f"This book needs Python 3.11, 3.12 or 3.13; $(PYTHON) is {v[0]}.{v[1]}. Try: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (a minute or two, once)"
	@test ! -e $@ || test "$$(cat $@)" = "$$(pwd -P)" || rm -rf .venv
	@# The newest pip: that of Python 3.11 takes half a minute more. It passes on what setuptools says: hence -qq.
	@$(PYTHON) -m venv --upgrade-deps .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@pwd -P > $@

# Executed notebooks are cached by their own text; when the library changes, all of them run again.
_build/.library: requirements.txt $(LIBRARY)
	@rm -rf _build
	@mkdir -p _build
	@touch $@

# What the checks of the equations have shown, for the numbers of the equations. The file is written only if all
# pass, and keeps its date if it stays the same.
_build/.checked: _build/.library $(wildcard tests/equations/*.py book/*.ipynb book/*.md)
	@rm -f $@
	@$(PYTEST) -q tests/equations/test_equations.py --evidence _build/evidence.json > _build/checks.log || \
		{ cat _build/checks.log; rm -f _build/evidence.json; exit 1; }
	@touch $@

_build/evidence.json: _build/.checked ;

_build/.dress: _build/.library _build/evidence.json $(DRESS)
	@rm -rf _build/.doctrees _build/html
	@touch $@

book: _build/html/.built  ## execute the notebooks and build the book into _build/html

# Its date is that of the build's beginning: what changes meanwhile is built the next time.
_build/html/.built: .venv/.installed _build/.dress $(PAGES)
	@touch _build/.begun
	@# The notebooks that are not in the cache, several at a time. One that fails here is not cached: the build
	@# runs it once more, and says which cell failed and why.
	@$(BIN)/python book/_ext/kernels.py
	@yes 2> /dev/null | $(JCACHE) notebook add book/*.ipynb > _build/execution.log 2>&1 || \
		{ cat _build/execution.log; exit 1; }
	@$(JCACHE) project execute -e local-parallel -t 120 >> _build/execution.log 2>&1 || true
	@# A page that was read with a warning counts as read: after a failure Sphinx must read all of them again.
	@$(BIN)/jupyter-book build -W --keep-going -q . || { rm -rf _build/.doctrees _build/html; exit 1; }
	@mv _build/.begun $@

serve: book  ## build the book and serve it on localhost:8000 (PORT=8001 for another port)
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

pdf: book  ## print the built book to _build/diffusion-from-scratch.pdf (needs Chromium)
	$(BIN)/python tools/pdf.py

test: .venv/.installed _build/.library  ## ruff, unit tests, planted faults, every notebook, the book, the book in a browser
	$(BIN)/ruff check .
	$(PYTEST) $(WORKERS) -m "not long" tests --ignore=tests/browser
	$(BIN)/python tools/mutants.py
	@# The notebooks that pass are kept in the cache, executed, so `make book` runs none of them. The cache is empty
	@# if the library has changed: _build/.library comes first.
	$(PYTEST) $(WORKERS) --dist=loadscope -W default --nbval --nbval-sanitize-with=book/sanitize.cfg \
		-p tools.fill_cache --fill-cache $(CACHE) book
	@$(MAKE) --no-print-directory book
	$(PYTEST) $(WORKERS) --dist=loadgroup -m "not long" tests/browser

test-all: test  ## the same, and every chapter on Colab's versions, each cell thrice, and in Notebook 7
	$(PYTEST) -n 2 -m long tests --ignore=tests/browser
	$(PYTEST) -m long tests/browser

check: .venv/.installed  ## ruff and the fast unit tests, under a minute
	$(BIN)/ruff check .
	$(PYTEST) $(WORKERS) -m "not slow and not long" tests --ignore=tests/browser

mutants: .venv/.installed  ## plant faults in diffusion_lib, one at a time: a test must notice each
	$(BIN)/python tools/mutants.py

notebooks: .venv/.installed  ## execute book/*.ipynb in place and store the checked outputs
	$(BIN)/python tools/notebooks.py

engine: .venv/.installed  ## compile what trains in the browser, engine.c, after a change in it
	$(BIN)/python tools/build_engine.py

results: .venv/.installed  ## run the experiments of diffusion_lib/experiments, many minutes, and keep what they find
	$(BIN)/python tools/results.py

weights: .venv/.installed  ## train the models of pictures that the book ships, from their seeds, and print their scores
	@# In two lanes, on two cores about 80 minutes. "sketcher" goes on from "faces", "words" from "autoencoder", and the
	@# refiner is scored with the sketcher, which is there long before its own training ends.
	train() { $(BIN)/python tools/$$1.py $$2; }; \
		{ train text_weights autoencoder && train weights digits && train weights refiner; } & \
		{ train weights faces && train weights sketcher && train text_weights words; } && wait $$!

bench: .venv/.installed  ## measure speed and sample quality, print the README's table
	$(BIN)/python tools/bench.py

clean:  ## remove the built book and all caches
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
	find book diffusion_lib tests tools -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## the same, and .venv
	rm -rf .venv *.egg-info
