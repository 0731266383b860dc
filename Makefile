# Every command sets up what it needs: virtual environment, packages, database, embedded services.
# ARGS go to pytest, as in: make test ARGS="tests/jobs -x"

.PHONY: run test chaos check bench lock clean help
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON := .venv/bin/python

# The first Python that is new enough. A name may exist and still not run (pyenv), so each is tried.
FIND_PYTHON = for python in python3 python3.13 python3.12 python3.11 $(PYTHON); do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; done; \
	[ -n "$$python" ] || { echo "QwenEdit needs Python 3.11 or later, and none was found" >&2; exit 1; }
INSTALL = @$(FIND_PYTHON); $$python -m qwenedit.local.install

# Ends with make, however make ends.
run:  ## start everything on this machine and make one edit; ONCE=1 ends after it; PORT=9000 moves the web port
	$(INSTALL) requirements.txt
	@exec $(PYTHON) -m qwenedit.local.child $$PPID qwenedit.local $(if $(filter-out 0 false no off,$(ONCE)),--once)

test:  ## run the whole test suite
	$(INSTALL) requirements-dev.txt
	@exec $(PYTHON) -m pytest -n auto --maxprocesses=4 $(ARGS)

chaos:  ## kill, freeze and cut off everything under load, then audit; ARGS="--jobs 400 --minutes 5 --seed 7"
	$(INSTALL) requirements-dev.txt
	@exec $(PYTHON) -m tests.chaos $(ARGS)

check:  ## format, lint, types, import contracts, Django's own checks, migrations, API schema, documentation
	$(INSTALL) requirements-dev.txt
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy qwenedit payments jobs webhooks botapp manage.py celery_worker.py
	$(PYTHON) -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-logo
	$(PYTHON) manage.py check --fail-level WARNING
	DEBUG=false METRICS_TOKEN=set COMFYUI_URL=http://gpu:8188 SUPPORT_CONTACT=@set SECRET_KEY=$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(64))') \
		$(PYTHON) manage.py check --deploy --fail-level WARNING
	$(PYTHON) manage.py makemigrations --check --dry-run
	$(PYTHON) manage.py spectacular --validate --fail-on-warn --file /dev/null
	$(PYTHON) manage.py document_settings --check

bench:  ## measure against a direct client, into var/bench/; ARGS="overhead throughput --quick" names rows
	$(INSTALL) requirements-dev.txt
	@exec $(PYTHON) -m bench $(ARGS)

lock:  ## compile requirements*.in into requirements*.txt, with hashes
	$(INSTALL) requirements-dev.txt
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		requirements.in --output-file requirements.txt
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		requirements-dev.in --output-file requirements-dev.txt

clean:  ## remove the virtual environment and caches; the data under var/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
