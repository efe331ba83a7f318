# Everything runs inside .venv, which the first target that needs it creates. Works with GNU make
# 3.81 (macOS) and newer, and needs Python 3.11 or newer, pip and git besides.
#
#   make test PYTHON=/opt/python3.12/bin/python3    another Python
#   make test PYTEST_ARGS="tests/tidy -x"           some of the tests

PYTEST_ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test verify lint fix bench compiled campaign clean env-plots env-dev

help:
	@echo "make demo      compare the protocols under faults, write concur-report.html"
	@echo "make test      run the tests"
	@echo "make verify    ruff, mypy and the tests; changes no file of yours"
	@echo "make lint      the first half of verify: ruff and mypy"
	@echo "make fix       format, and repair what ruff can"
	@echo "make bench     measure: speed, and the simulator against theory"
	@echo "make compiled  Concur with its simulator translated to C, in build/compiled; needs a compiler"
	@echo "make campaign  1,000 seeds of each protocol with every kind of fault"
	@echo "make clean     remove .venv, caches, build output and the demo's report"

demo: env-plots
	$(BIN)/concur compare --network wan-5 --workload ycsb-a \
	  --faults leader-crash,partition --html concur-report.html

# Tests that must not run side by side share @pytest.mark.xdist_group("serial").
test: env-dev
	$(BIN)/python -m pytest -n auto --dist loadgroup $(PYTEST_ARGS)

verify: lint test

lint: env-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fix: env-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# One after the other, so that they do not slow each other down; a failure does not hide the rest.
bench: env-dev
	@files=benchmarks/run.py; failed=; \
	[ -f "$$files" ] || files=$$(ls benchmarks/[a-z]*.py benchmarks/papers/[a-z]*.py 2>/dev/null) || true; \
	if [ -z "$$files" ]; then echo "error: there is nothing to run in benchmarks/" >&2; exit 1; fi; \
	for file in $$files; do \
	  echo "== $$file"; $(BIN)/python $$file || failed="$$failed $$file"; \
	done; \
	if [ -n "$$failed" ]; then echo "error: failed:$$failed" >&2; exit 1; fi

# Beside the sources, never among them: what is compiled must not outlive an edit. The folder holds
# all of Concur as it is now. Use it with PYTHONPATH=build/compiled, and make it again after edits.
compiled: env-dev
	rm -rf build
	CONCUR_COMPILE=1 $(BIN)/python -m pip wheel -qq --disable-pip-version-check \
	  --no-deps --wheel-dir build/wheel .
	$(BIN)/python -m pip install -qq --disable-pip-version-check \
	  --no-deps --target build/compiled build/wheel/*.whl
	PYTHONPATH=build/compiled $(BIN)/python -m pytest -q -n auto --dist loadgroup tests/simulate
	PYTHONPATH=build/compiled $(BIN)/python benchmarks/simulator_speed.py --seeds 0

# Seconds of virtual time, enough for 1,000 commands even where the faults leave little of it: without
# a disk every crash is the loss of a memory, and the primary of the next view may be one of those.
CAMPAIGNS = multi-paxos:10 raft:10 viewstamped-replication:15 viewstamped-replication-on-disk:15
campaign: env-plots
	@for campaign in $(CAMPAIGNS); do \
	  $(BIN)/concur simulate $${campaign%:*} --seconds $${campaign#*:} --replicas 5 --seeds 0:1000 \
	    --jobs 2 --faults all --commands-min 1000 --param snapshot_every=100 || exit 1; \
	done

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis concur-report.html
	find src tests benchmarks examples -type d \( -name __pycache__ -o -name '*.egg-info' \) \
	  -prune -exec rm -rf {} + 2>/dev/null || true

# --- the virtualenv ---------------------------------------------------------------------------
#
# A stamp, written last, says where and from what .venv was installed. So a repeat is quick, and a
# changed pyproject.toml or constraints.txt installs again. A .venv that is half made, was moved
# (its scripts hold absolute paths) or has another Python than PYTHON asks for is made anew.
# pip shows errors only (-qq), and is told nothing about where packages come from: your own
# configuration decides.

PYTHONS := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11 python)
OLD := import sys; sys.exit(sys.version_info < (3, 11))
VERSION := import sys; print("%d.%d" % sys.version_info[:2])

# $(call install,extra,stamps of installs that contain it)
define install
@want="$$(pwd -P) $$(cat pyproject.toml constraints.txt | cksum)"; \
usable() { \
  { [ ! -e .venv/concur-unfinished ] && grep -qF "$$(pwd -P)" $(BIN)/pip \
    && $(BIN)/python -c '$(OLD)'; } 2>/dev/null || return 1; \
  [ -z "$(PYTHON)" ] || [ "$$("$(PYTHON)" -c '$(VERSION)')" = "$$($(BIN)/python -c '$(VERSION)')" ]; \
}; \
if usable; then \
  for stamp in $(2); do \
    if [ -x $(BIN)/concur ] && [ "$$(cat .venv/$$stamp 2>/dev/null)" = "$$want" ]; then exit 0; fi; \
  done; \
else \
  python=; \
  for candidate in $(PYTHONS); do \
    if "$$candidate" -c '$(OLD)' >/dev/null 2>&1; then python=$$candidate; break; fi; \
  done; \
  if [ -z "$$python" ]; then \
    echo "error: Concur needs Python 3.11 or newer, and this is not or has none: $(PYTHONS)" >&2; \
    echo "       Name one: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.11" >&2; \
    exit 1; \
  fi; \
  if ! "$$python" -c 'import venv, ensurepip' 2>/dev/null; then \
    echo "error: $$python cannot create a virtualenv: its venv or ensurepip is missing." >&2; \
    echo "       On Debian or Ubuntu: apt install python$$("$$python" -c '$(VERSION)')-venv" >&2; \
    exit 1; \
  fi; \
  echo "Creating .venv with $$("$$python" --version)"; \
  "$$python" -m venv --clear .venv || exit 1; \
fi; \
echo "Installing Concur and what it needs into .venv (up to a minute, once)"; \
rm -f .venv/concur-*.stamp && touch .venv/concur-unfinished || exit 1; \
$(BIN)/python -m pip install -qq --disable-pip-version-check \
  -e '.[$(1)]' -c constraints.txt || exit 1; \
echo "$$want" > .venv/concur-$(1).stamp && rm .venv/concur-unfinished
endef

env-plots:
	$(call install,plots,concur-plots.stamp concur-dev.stamp)

env-dev:
	$(call install,dev,concur-dev.stamp)
