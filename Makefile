# make demo         the demonstration study, from generated images to the report
# make null         the same images with outcomes that have nothing to do with them
# make test         style, lint and tests
# make environment  only the Python environment (.venv), from the lock
# make site         the pages of docs/ as a site: site/index.html
# make bench        speed and equality beside other programs: results/bench/bench.csv (make bench-peers installs these)
# make audit        known advisories against the locked packages (pip-audit)
# make dictionary   the data dictionary results/README.md, after a change of schemas/tables/
# make rulegraph    the picture of the rules in the README (needs graphviz)
# make lock         the lock again, after a change of envs/requirements.in (needs uv)
# make clean        removes the environment and Snakemake's own state; results stay

PYTHON := $(shell command -v python3.11 || command -v python3)
LOCK := envs/build.txt envs/requirements.txt envs/pyradiomics.txt
# The environment is made again when the lock changes, and only then.
STAMP := .venv/lock-$(shell cat $(LOCK) | cksum | cut -d' ' -f1)
PIP := .venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes
COMPILE := uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-annotate --custom-compile-command "make lock"

BROWSER := chromium chromium-driver
SLURM := slurm-wlm munge
ROOT := $(shell [ "$$(id -u)" = 0 ] && echo env || echo sudo -n)

export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME
# Snakemake runs the jobs side by side: one thread each, also for the same last digit everywhere.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export NUMBA_NUM_THREADS := 1
export ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS := 1

.PHONY: demo null test site bench bench-peers audit environment browser slurm rulegraph dictionary lock clean
.DELETE_ON_ERROR:

demo: environment
	@echo "== demo study: about 12 minutes on 2 cores; Ctrl-C loses only what is being computed, running again goes on"
	@snakemake
	@echo "== done: results/demo/report/report.html"

null: environment
	@echo "== null study"
	@snakemake --config study=studies/null.yaml

test: environment browser slurm
	@echo "== style: ruff, snakefmt"
	@ruff check --quiet
	@ruff format --check --quiet
	@snakefmt --check --compact-diff Snakefile rules
	@echo "== rooms: import-linter"
	@PYTHONPATH=scripts lint-imports --no-cache --no-logo
	@echo "== workflow: snakemake --lint"
	@snakemake --lint
	@$(MAKE) --no-print-directory site
	@echo "== tests: pytest"
	@pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# a link to nowhere and a page without its place in the menu are errors
site: environment
	@echo "== site: mkdocs"
	@NO_MKDOCS_2_WARNING=1 mkdocs build --quiet

bench: environment
	@python bench/run.py

# each peer in an environment of its own: they need other versions of the same packages; pictologics needs Python 3.12
bench-peers:
	@for peer in flash-radiomics mirp nyxus pictologics pingouin mrmr_selection; do \
		folder=results/bench/venv/$${peer%-radiomics}; \
		python=$(PYTHON); [ $$peer != pictologics ] || python=python3.12; \
		{ [ -x $$folder/bin/python ] || $$python -m venv $$folder; } && \
		$$folder/bin/python -m pip install --quiet --disable-pip-version-check $$(grep "^$$peer==" bench/requirements.txt) || \
		echo "$$peer was not installed" >&2; \
	done

# known advisories against the lock; needs a network that reaches the advisory database
audit:
	@$(PYTHON) -m venv results/audit
	@results/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@results/audit/bin/pip-audit --strict --no-deps --disable-pip -r envs/requirements.txt

environment: $(STAMP)

$(STAMP):
	@test -n "$(PYTHON)" || { echo "Python 3.11 was not found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "== environment: .venv from the lock (once, some minutes)"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(PIP) -r envs/build.txt
	@$(PIP) --no-build-isolation -r envs/requirements.txt
	@echo "== environment: building pyradiomics"
	@$(PIP) --no-build-isolation --no-deps -r envs/pyradiomics.txt || \
		{ echo "pyradiomics was not built: are gcc and the Python headers (python3-dev) installed?" >&2; exit 1; }
	@touch $@

# Pages are tested in Debian's chromium; where it cannot be installed these tests are skipped and say so.
browser:
	@command -v chromium > /dev/null && command -v chromedriver > /dev/null || \
		{ command -v apt-get > /dev/null && $(ROOT) true 2> /dev/null && echo "== browser for the tests: chromium, chromedriver (once)" && \
		$(ROOT) apt-get update -qq && \
		$(ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(BROWSER) > /dev/null; } || \
		echo "browser tests will be skipped; to run them: apt-get install $(BROWSER)"

# The cluster profile is tested on a SLURM that the tests start as root, with its own keys and ports.
slurm:
	@[ "$$(id -u)" != 0 ] || { command -v slurmctld && command -v slurmd && command -v munged; } > /dev/null || \
		{ command -v apt-get > /dev/null && echo "== SLURM for the tests: $(SLURM) (once)" && apt-get update -qq && \
		env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SLURM) > /dev/null; } || \
		echo "SLURM tests will be skipped; to run them: apt-get install $(SLURM), as root"

# only the direct ways from rule to rule, from left to right
rulegraph: environment
	@snakemake --rulegraph | sed 's/color = "[^"]*", /color = "steelblue", /' | tred | dot -Grankdir=LR -Tsvg > docs/rulegraph.svg

dictionary: environment
	@python scripts/dictionary.py

lock:
	@$(COMPILE) envs/requirements.in --output-file envs/requirements.txt
	@grep -E '^(setuptools|wheel)==' envs/requirements.in | \
		$(COMPILE) - --constraints envs/requirements.txt --output-file envs/build.txt

clean:
	rm -rf .venv .snakemake
