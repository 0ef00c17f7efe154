# `make` alone lists what there is to make. Needs Python 3.11 or newer; all else is installed into .venv.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
# VENV= (empty) uses the Python at hand and installs nothing: for a GPU machine with a jax of its own.
VENV ?= .venv
# How many test files run at a time; each takes about 3 GB of memory.
JOBS ?= 2
BIN := $(if $(VENV),$(VENV)/bin/)
PY := $(if $(VENV),$(BIN)python,$(PYTHON))
READY := $(if $(VENV),$(VENV)/ready)
HTML := _build/html
LOG := _build/book.log
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PYTHONDONTWRITEBYTECODE := 1

help:  ## list the targets
	@echo "make TARGET, where TARGET is"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' Makefile

$(VENV)/ready: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	  "This book needs Python 3.11 or newer, and \"$(PYTHON)\" is none. Try: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Preparing the environment in $(VENV) (once, a few minutes) …"
	@$(PYTHON) -m venv $(VENV) || { echo \
	  "Python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PY) -m pip install -qq -r requirements.txt
	@$(PY) -m pip install -qq --no-deps --editable .
	@touch $@

book: $(READY)  ## run every chapter and write the book as HTML
	@mkdir -p _build
	@echo "Building the book; the first time every chapter runs, which takes some minutes …"
	@NO_COLOR=1 $(BIN)jupyter-book build . -W -n --keep-going 2>&1 | tee $(LOG) \
	  | while IFS= read -r line; do case "$$line" in \
	      *": Executed notebook in "*) name=$${line%%.md:*} time=$${line##*Executed notebook in }; \
	        LC_ALL=C printf '  ran %-20s %5.1f s\n' "$${name##*/}" "$${time%% *}" ;; \
	      *WARNING*|*ERROR*|*Warning:*) printf '%s\n' "$$line" ;; esac; done \
	  || { echo "The build failed, see $(LOG):" >&2; \
	    { sed -n '/A chapter failed/,/^The above exception/{/^The above exception/!p}' $(LOG) | grep . || tail -n 40 $(LOG); } >&2; exit 1; }
	@! grep -qE 'WARNING|Warning:' $(LOG) || { echo "The build warned, see $(LOG)" >&2; exit 1; }
	@echo "The book is at $(CURDIR)/$(HTML)/index.html (make serve shows it)"

test: lint  ## lint, and test the library, the notebooks and the built pages
	@test -f $(HTML)/index.html || $(MAKE) book
	@$(PY) -m pytest -q -n $(JOBS) --dist loadfile

types: $(READY)  ## check the types of the library
	@$(PY) -m basedpyright --level error --pythonpath "$$($(PY) -c 'import sys; print(sys.executable)')"

lint: types  ## lint, format and types (told, not changed)
	@$(PY) -m ruff check -q
	@$(PY) -m ruff format --check -q || { echo "Not formatted, see: $(BIN)ruff format --diff" >&2; exit 1; }

unit: $(READY)  ## test without the built book; says how much of the library the tests reach
	@$(PY) -m pytest -q --cov -m "not built" -n $(JOBS) --dist loadfile

check: $(READY)  ## slow proofs: other versions, Colab's too, a real JupyterLab, two equal builds, kills, several devices, full scale begun
	@$(PY) tools/check.py

serve: $(READY)  ## show the book in the browser
	@test -f $(HTML)/index.html || $(MAKE) book
	@port=$$($(PY) -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'); \
	  echo "The book is at http://127.0.0.1:$$port/ until you press Ctrl-C"; \
	  (sleep 1; $(PY) -m webbrowser "http://127.0.0.1:$$port/" >/dev/null 2>&1 || true) & \
	  exec $(PY) -m http.server "$$port" --bind 127.0.0.1 --directory $(HTML) >/dev/null 2>&1

lab: $(READY)  ## open the chapters in JupyterLab, where sliders compute: all, or CHAPTER=theory/ntk
	@$(PY) -m jupyterlab --version >/dev/null 2>&1 || $(PY) -m pip install -qq "jupyterlab>=4.2,<5"
	@exec $(PY) -m jupyterlab --log-level=WARN $(if $(filter 0,$(shell id -u)),--allow-root) $(if $(CHAPTER),book/$(CHAPTER).ipynb,book)

pdf: $(READY)  ## print the built book into one PDF (needs Chromium)
	@test -f $(HTML)/index.html || $(MAKE) book
	@$(PY) tools/pdf.py

zip: $(READY)  ## pack the built pages, to be read from disk
	@test -f $(HTML)/index.html || $(MAKE) book
	@cd $(HTML) && rm -f book.zip && $(if $(VENV),$(abspath $(PY)),$(PY)) -m zipfile -c book.zip *
	@echo "The pages are packed in $(HTML)/book.zip"

full: $(READY)  ## run chapters at full scale, without Jupyter: all, or CHAPTER=theory/ntk
	@FFLIB_SCALE=full $(PY) tools/run_notebook.py --record --out _build/full $(CHAPTER)

MINUTES ?= 120
results: $(READY)  ## go on with the paper's experiments and record them: SCALE=reduced or full, NAME=image_text, MINUTES=120
	@nice -n 19 $(PY) tools/experiments.py $(if $(SCALE),--scale $(SCALE)) --minutes $(MINUTES) $(NAME)

bench: $(READY)  ## measure how fast training is, against a plain loop and this machine's matrix products
	@$(PY) tools/bench.py

sync: $(READY)  ## write each chapter's .ipynb from its .md
	@$(PY) tools/export.py

address: $(READY)  ## set the repository's address everywhere: URL=https://github.com/me/book
	@$(PY) tools/address.py "$(URL)"

clean:  ## delete everything that was made, the environment too
	@rm -rf _build build .coverage *.egg-info $(VENV)

.PHONY: help book test types lint unit check serve lab pdf zip full results bench sync address clean
